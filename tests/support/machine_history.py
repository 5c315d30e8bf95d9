"""One history that writes every table of the state machine but two, with the longest values there may be."""

from __future__ import annotations

from typing import Final

from services.consensus.raft.configuration import GroupMember, MemberKind
from services.consensus.state.commands import Command, GrantLease, NoteStop, RecordSteps, RegisterRecovery, StepWrite
from services.consensus.state.group_commands import BeginReplacement, OpenSession, RaiseGroupVersion, SetGroupSettings
from services.consensus.state.registry import commands as registry
from services.consensus.state.registry.origin import Origin
from services.consensus.state.replacements import encode_member

MS: Final = 1_000_000
DB1: Final = "db1.example:3306"
LONG: Final = "ü" * 255


def origin(number: int) -> Origin:
    """Return an origin of a request of its own, with the longest reason there may be."""
    return Origin(f"00000000-0000-4000-8000-{number:012}", LONG, "ß" * 1_000)


HISTORY: Final[tuple[Command, ...]] = (
    registry.BeginDowntime(origin(1), f"instance:{LONG}:3306", None, None, 500),
    registry.BeginMaintenance(origin(2), "cluster:c1", 500, 0),
    registry.SetPromotionRule(origin(3), DB1, "must_not", None),
    registry.SetTag(origin(4), DB1, "rack", LONG),
    registry.SetPool(origin(5), "readers", tuple(f"{LONG}:{port}" for port in range(1, 1_001)), 500),
    registry.SetClusterName(origin(6), "c1", "Köln", "köln"),
    registry.SetClusterName(origin(7), "c2", "köln", ""),
    registry.SetPolicy(origin(8), "fleet", "act", "bounded", 2**63 - 1, 1, 3, "wait", 500, None),
    registry.SetPolicy(origin(9), "cluster:c1", "observe", "", None, None, None, "", None, 500),
    registry.SetSetting(origin(10), "recoveries", "off"),
    OpenSession(origin(11)),
    registry.SetSetting(Origin("", "app", "", session_id=12, sequence=1), "name", "x"),
    SetGroupSettings(origin(13), 60 * MS, 300 * MS, 600 * MS, 10_000),
    RaiseGroupVersion(2),
    GrantLease("recovery", 1, "s1"),
    RegisterRecovery("r1", 16, "c1", DB1, b"\x00", 0),
    RecordSteps("r1", 16, (StepWrite(1, 1, 500, b"\xff", DB1),), b""),
    BeginReplacement("r", 1, encode_member(GroupMember(2**63 - 1, name=LONG, kind=MemberKind.LEARNER))),
    registry.DeleteTag(origin(14), DB1, "rack"),
    NoteStop("r1", 16, 1, "ß" * 1_000, False, 500),
)
"""Begins at index 2, in a group with member 1, on a machine that speaks version 2; no command is refused."""
UNTOUCHED: Final = frozenset({"state_primary", "state_tag"})
"""Tables that are empty at its end."""

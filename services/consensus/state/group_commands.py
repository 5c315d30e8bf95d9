"""Commands of sessions, of the group's settings and version, and of replacements."""

from __future__ import annotations

from services.consensus.state.log_command import LogCommand
from services.consensus.state.registry.origin import Origin


class OpenSession(LogCommand, frozen=True):
    """Open a session for the origin's owner (P3)."""

    origin: Origin


class TouchSession(LogCommand, frozen=True):
    """Say that a session lives, and which answers it has."""

    session_id: int
    acked_below: int


class CloseSession(LogCommand, frozen=True):
    """End a session."""

    session_id: int


class ExpireSession(LogCommand, frozen=True):
    """End a silent session; heard since entry `last_index` it stays."""

    session_id: int
    last_index: int


class SetGroupSettings(LogCommand, frozen=True):
    """Replace the settings that all members share (18.5); durations in nanoseconds."""

    origin: Origin
    heartbeat: int
    election_min: int
    election_max: int
    clock_drift_ppm: int


class RaiseGroupVersion(LogCommand, frozen=True):
    """Have the group speak a newer version; the leader has asked every voter (18.4)."""

    group_version: int


class BeginReplacement(LogCommand, frozen=True):
    """Replace a member by another (M4). `new_member` is what `encode_member` makes."""

    replacement_id: str
    old_member_id: int
    new_member: str


class CancelReplacement(LogCommand, frozen=True):
    """End a replacement before the old member is to be removed."""

    replacement_id: str


SessionCommand = OpenSession | TouchSession | CloseSession | ExpireSession
GroupCommand = SetGroupSettings | RaiseGroupVersion | BeginReplacement | CancelReplacement

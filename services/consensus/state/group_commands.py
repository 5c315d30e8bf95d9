"""Commands of sessions, of the group's settings and version, and of replacements."""

from __future__ import annotations

from dataclasses import dataclass

from services.consensus.state.registry.origin import Origin


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Open a session for the origin's owner (P3)."""

    origin: Origin


@dataclass(frozen=True, slots=True)
class TouchSession:
    """Say that a session lives, and which answers it has."""

    session_id: int
    acked_below: int


@dataclass(frozen=True, slots=True)
class CloseSession:
    """End a session."""

    session_id: int


@dataclass(frozen=True, slots=True)
class ExpireSession:
    """End a silent session; heard since entry `last_index` it stays."""

    session_id: int
    last_index: int


@dataclass(frozen=True, slots=True)
class SetGroupSettings:
    """Replace the settings that all members share (18.5); durations in nanoseconds."""

    origin: Origin
    heartbeat: int
    election_min: int
    election_max: int
    clock_drift_ppm: int


@dataclass(frozen=True, slots=True)
class RaiseGroupVersion:
    """Have the group speak a newer version; the leader has asked every voter (18.4)."""

    group_version: int


@dataclass(frozen=True, slots=True)
class BeginReplacement:
    """Replace a member by another (M4). `new_member` is what `encode_member` makes."""

    replacement_id: str
    old_member_id: int
    new_member: str


@dataclass(frozen=True, slots=True)
class CancelReplacement:
    """End a replacement before the old member is to be removed."""

    replacement_id: str


SessionCommand = OpenSession | TouchSession | CloseSession | ExpireSession
GroupCommand = SetGroupSettings | RaiseGroupVersion | BeginReplacement | CancelReplacement

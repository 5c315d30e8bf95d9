"""Where a store stands, in short: enough to tell whether a transaction happened (14.4), small enough to keep."""

from __future__ import annotations

from dataclasses import dataclass

from services.consensus.raft.model import HardState, LogMark
from services.consensus.state.machine import Mark


@dataclass(frozen=True, slots=True)
class StoredMember:
    """Whose store it is.

    Attributes:
        group_id: The group's identity; empty = made to join one, not told which yet.
        member_id: The member's.
        incarnation: Made when the store was created.
        group_name: Of the settings it was created with; empty = not known.
        quarantine: Why the member was told to distrust it (A4, 14.6); empty = it was not.
        listed_id: Id the settings know the member by, of one that came back under another; 0 = the same (14.6).
    """

    group_id: str
    member_id: int
    incarnation: str
    group_name: str = ""
    quarantine: str = ""
    listed_id: int = 0

    @property
    def settings_id(self) -> int:
        """Id the settings know the member by."""
        return self.listed_id or self.member_id


@dataclass(frozen=True, slots=True)
class Standing:
    """What the last transaction left.

    Attributes:
        member: Row of `raft_member`.
        hard_state: Row of `raft_vote`; the promise in whole milliseconds.
        log_mark: Last entry that is not in the log any more.
        mark: Where the state rows stand.
        last_index: Index of the last entry, the log mark's when there is none behind it.
        last_checksum: Of the last entry; 0 when there is none behind the log mark.
    """

    member: StoredMember
    hard_state: HardState
    log_mark: LogMark
    mark: Mark
    last_index: int
    last_checksum: int

"""What no group of members brings about, but a core must stand all the same: checks on one core and values."""

from __future__ import annotations

from services.consensus.raft.events import Persisted, Received
from services.consensus.raft.messages import AppendRequest
from services.consensus.raft.model import MILLISECOND, BootState, CoreSettings, Entry, EntryKind, HardState, LogMark
from tests.support.raft import group_of
from tests.unit.consensus.core_script import NewCore

MARK = LogMark(1, 1)


def refuses_notice_from_before_a_truncation(new_core: NewCore) -> bool:
    """Tell whether a late notice for an entry that was truncated and received again says nothing (C2)."""
    boot = BootState(HardState(1), applied_index=MARK.index, mark=MARK, configuration=group_of(1, 2, 3))
    core = new_core(CoreSettings(3), boot, 1, 0)
    for sender, term, entry_term in ((1, 2, 1), (2, 3, 3), (1, 4, 1)):
        entry = Entry(2, entry_term, EntryKind.COMMAND, 0, b"x")
        request = AppendRequest(sender, term, MARK.index, MARK.term, (entry,), 1, 0, 300 * MILLISECOND)
        core.step(Received(request), 0)
        core.take_output()
    core.step(Persisted(1, 2, 1), 0)
    early = core.status().durable_index
    core.step(Persisted(3, 2, 1), 0)
    return (early, core.status().durable_index) == (1, 2)

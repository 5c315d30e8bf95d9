"""A follower whose log begins behind a mark takes any part of its leader's log (R1, R3, N1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consensus.raft.core import RaftCore
from services.consensus.raft.events import Persisted, Received
from services.consensus.raft.messages import AppendAck, AppendReject, AppendRequest
from services.consensus.raft.model import (
    BootState,
    CoreSettings,
    Entry,
    EntryKind,
    HardState,
    InvariantViolated,
    LogMark,
)
from tests.support.raft import group_of

LEADER, TERM = 2, 9


def _log(terms: list[int]) -> tuple[Entry, ...]:
    return tuple(Entry(index, term, EntryKind.COMMAND, 0, b"%d" % index) for index, term in enumerate(terms, 1))


def _term_at(log: tuple[Entry, ...], index: int) -> int:
    return log[index - 1].term if index else 0


def _follower(log: tuple[Entry, ...], mark: int, commit: int, last: int) -> RaftCore:
    boot = BootState(
        HardState(TERM), log[mark:last], commit, LogMark(mark, _term_at(log, mark)), configuration=group_of(1, 2, 3)
    )
    return RaftCore(CoreSettings(1), boot, seed=1, now=0)


@given(st.lists(st.integers(1, TERM), max_size=10).map(sorted), st.data())
def test_any_part_of_the_leaders_log_leads_to_the_leaders_log(terms: list[int], data: st.DataObject) -> None:
    log = _log(terms)
    last = data.draw(st.integers(0, len(log)), "last")
    commit = data.draw(st.integers(0, last), "commit")
    mark = data.draw(st.integers(0, commit), "mark")
    prev = data.draw(st.integers(0, len(log)), "prev")
    end = data.draw(st.integers(prev, len(log)), "end")
    core = _follower(log, mark, commit, last)
    request = AppendRequest(LEADER, TERM, prev, _term_at(log, prev), log[prev:end], end, 1, 0)
    core.step(Received(request), 1)
    output = core.take_output()
    for batch in output.persist:
        assert batch.truncate_from is None
        core.step(Persisted(batch.number, batch.last_index, batch.last_term), 1)
    (answer,) = (outgoing.message for outgoing in output.messages)
    reach = max(last, end) if prev <= last else last
    assert core.entries() == log[mark:reach]
    if prev <= last:
        assert isinstance(answer, AppendAck)
        assert answer.match_index == max(end, mark)
        assert core.status().durable_index >= answer.match_index
    else:
        assert isinstance(answer, AppendReject)
        assert mark <= answer.hint_index <= last


@pytest.mark.parametrize("applied", [pytest.param(2, id="before-the-mark"), pytest.param(5, id="beyond-the-end")])
def test_store_whose_rows_do_not_fit_its_log_is_refused(applied: int) -> None:
    """S7: what is missing between the rows and the log is nowhere any more."""
    with pytest.raises(InvariantViolated, match="S7"):
        _follower(_log([1, 1, 1, 1]), mark=3, commit=applied, last=4)

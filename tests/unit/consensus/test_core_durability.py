"""Persist batches and what a notice of durability proves (C1, C2, S1)."""

from __future__ import annotations

import pytest

from services.consensus.raft.durability import Durability
from services.consensus.raft.events import Persisted
from services.consensus.raft.log import Log
from services.consensus.raft.model import Entry, EntryKind, HardState, InvariantViolated, LogMark
from services.consensus.raft.outputs import PersistBatch


def _entries(first: int, *terms: int) -> list[Entry]:
    return [Entry(index, term, EntryKind.COMMAND, 0, b"x") for index, term in enumerate(terms, first)]


def _notice(batch: PersistBatch | None) -> Persisted:
    assert batch is not None
    return Persisted(batch.number, batch.last_index, batch.last_term)


def test_nothing_new_makes_no_batch() -> None:
    assert Durability(Log(_entries(1, 1)), HardState(1)).take_batch(0) is None


def test_one_batch_carries_all_that_changed_since_the_last() -> None:
    log = Log()
    durability = Durability(log, HardState())
    durability.set_hard_state(HardState(1, 1))
    durability.set_hard_state(HardState(2, 2))
    log.append(_entries(1, 2, 2))
    batch = durability.take_batch(0)
    assert batch == PersistBatch(1, HardState(2, 2), None, tuple(_entries(1, 2, 2)), 2, 2)


def test_truncation_of_unsaved_entries_is_not_told_to_the_store() -> None:
    log = Log(_entries(1, 1))
    durability = Durability(log, HardState(2))
    log.append(_entries(2, 1, 1))
    durability.truncate(2)
    log.append(_entries(2, 2))
    batch = durability.take_batch(0)
    assert batch is not None
    assert (batch.truncate_from, batch.entries) == (None, tuple(_entries(2, 2)))


def test_several_truncations_in_one_batch_delete_from_the_lowest() -> None:
    log = Log(_entries(1, 1, 1, 1))
    durability = Durability(log, HardState(3))
    durability.truncate(2)
    log.append(_entries(2, 2, 2))
    durability.truncate(3)
    log.append(_entries(3, 3))
    batch = durability.take_batch(0)
    assert batch is not None
    assert (batch.truncate_from, batch.entries) == (2, tuple(_entries(2, 2, 3)))


def test_message_waits_for_the_batch_that_is_not_taken_yet() -> None:
    durability = Durability(Log(), HardState())
    assert durability.hard_barrier() == 0
    durability.set_hard_state(HardState(1, 1))
    assert durability.hard_barrier() == 1
    notice = _notice(durability.take_batch(0))
    assert durability.hard_barrier() == 1
    durability.persisted(notice)
    assert durability.hard_barrier() == 0


def test_notice_of_entries_that_came_back_after_a_truncation_proves_nothing() -> None:
    """C2: the store still has the deletion between the two before it, so a crash can lose what came back."""
    log = Log(_entries(1, 1))
    durability = Durability(log, HardState(3))
    log.append(_entries(2, 1))
    first = _notice(durability.take_batch(0))
    durability.truncate(2)
    log.append(_entries(2, 2))
    durability.take_batch(0)
    durability.truncate(2)
    log.append(_entries(2, 1, 3))
    last = _notice(durability.take_batch(0))
    durability.persisted(first)
    assert durability.durable_index == 1
    assert durability.log_barrier(2) == 3
    durability.persisted(last)
    assert (durability.durable_index, durability.log_barrier(3)) == (3, 0)


def test_notice_before_a_truncation_that_is_not_taken_yet_proves_nothing() -> None:
    log = Log(_entries(1, 1))
    durability = Durability(log, HardState(2))
    log.append(_entries(2, 1))
    notice = _notice(durability.take_batch(0))
    durability.truncate(2)
    log.append(_entries(2, 1))
    durability.persisted(notice)
    assert durability.durable_index == 1


def test_oldest_open_batch_tells_how_long_the_store_is_silent() -> None:
    log = Log()
    durability = Durability(log, HardState())
    log.append(_entries(1, 1))
    first = _notice(durability.take_batch(5))
    log.append(_entries(2, 1))
    second = _notice(durability.take_batch(9))
    assert durability.waiting_since() == 5
    durability.persisted(first)
    assert durability.waiting_since() == 9
    durability.persisted(second)
    assert durability.waiting_since() is None


def test_install_drops_what_was_not_written_and_begins_behind_the_snapshot() -> None:
    log = Log(_entries(1, 1, 1))
    durability = Durability(log, HardState(3))
    log.append(_entries(3, 1, 1))
    durability.truncate(2)
    durability.install(LogMark(5, 3), 1)
    log.append(_entries(6, 3))
    batch = durability.take_batch(0)
    assert batch == PersistBatch(1, None, None, tuple(_entries(6, 3)), 6, 3, install=LogMark(5, 3))


def test_acknowledgement_behind_a_snapshot_waits_for_its_install() -> None:
    """C1, N4."""
    log = Log(_entries(1, 1, 1))
    durability = Durability(log, HardState(3))
    durability.install(LogMark(5, 3), 1)
    notice = _notice(durability.take_batch(0))
    assert (durability.durable_index, durability.log_barrier(5), durability.installing) == (1, 1, True)
    durability.persisted(notice)
    assert (durability.durable_index, durability.log_barrier(5), durability.installing) == (5, 0, False)


def test_notice_of_a_log_that_a_snapshot_replaced_proves_nothing() -> None:
    """C2: the entries it tells of are gone, and what has their indexes now is not durable."""
    log = Log(_entries(1, 1))
    durability = Durability(log, HardState(3))
    log.append(_entries(2, 1, 1, 1, 1, 1))
    first = _notice(durability.take_batch(0))
    durability.install(LogMark(3, 3), 1)
    log.append(_entries(4, 3, 3, 3))
    last = _notice(durability.take_batch(0))
    durability.persisted(first)
    assert (durability.durable_index, durability.installing) == (1, True)
    durability.persisted(last)
    assert (durability.durable_index, durability.installing) == (6, False)


def test_compaction_goes_with_the_next_batch_and_counts_for_nothing_else() -> None:
    log = Log(_entries(1, 1, 1, 2))
    durability = Durability(log, HardState(2))
    durability.compact(1)
    durability.compact(2)
    assert durability.take_batch(0) == PersistBatch(1, None, None, (), 3, 2, compact_to=LogMark(2, 1))
    assert durability.durable_index == 3
    assert not durability.installing
    assert durability.take_batch(0) is None


def test_entries_that_were_compacted_before_they_were_durable_count_when_they_are() -> None:
    log = Log()
    durability = Durability(log, HardState(1))
    log.append(_entries(1, 1, 1, 1))
    first = _notice(durability.take_batch(0))
    log.append(_entries(4, 1, 1))
    last = _notice(durability.take_batch(0))
    durability.compact(4)
    durability.persisted(first)
    assert durability.durable_index == 3
    durability.persisted(last)
    assert durability.durable_index == 5


def test_entries_no_batch_has_are_not_compacted() -> None:
    log = Log()
    durability = Durability(log, HardState(1))
    log.append(_entries(1, 1, 1))
    with pytest.raises(InvariantViolated, match="I16"):
        durability.compact(1)

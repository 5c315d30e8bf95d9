"""What a member counts of what its core gives out (19)."""

from __future__ import annotations

import pytest

from services.consensus.core_metrics import CoreMetrics
from services.consensus.raft.messages import PreVoteResponse, VoteRefusal, VoteResponse
from services.consensus.raft.model import MILLISECOND, Entry, EntryKind, LogMark, Role
from services.consensus.raft.outputs import LeaderLease, Leadership, Outgoing, Output, PersistBatch
from services.shared.runtime.metrics import Metrics


class World:
    """The metrics of one core at a time that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0
        self._metrics = Metrics()
        self.core = CoreMetrics(self._metrics.meter("consensus"), lambda: self.now)

    def takes(self, **fields: object) -> None:
        self.core.output(self.now, Output(**fields))  # type: ignore[arg-type]

    def leads(self, role: Role, leader: int, term: int = 2) -> None:
        self.takes(leadership=Leadership(role, term, leader))

    def value(self, series: str) -> float:
        """Return the value of a series, named as Prometheus shows it without our prefix; 0 when it is not there."""
        lines = self._metrics.text().decode().splitlines()
        found = [line for line in lines if line.startswith(f"primacy_consensus_{series} ")]
        return float(found[0].split()[-1]) if found else 0.0


def batch(number: int, *indexes: int, install: LogMark | None = None) -> PersistBatch:
    entries = tuple(Entry(index, 2, EntryKind.COMMAND, 0, b"x") for index in indexes)
    return PersistBatch(number, None, None, entries, max(indexes, default=0), 2, install)


def test_new_leaders_are_counted_once_each() -> None:
    world = World()
    world.leads(Role.FOLLOWER, 2)
    world.leads(Role.FOLLOWER, 0)
    world.leads(Role.FOLLOWER, 2)
    world.leads(Role.LEADER, 1, term=3)
    assert world.value('leader_changes_total{reason="other"}') == 1
    assert world.value('leader_changes_total{reason="itself"}') == 1


def test_elections_are_counted_by_their_result() -> None:
    world = World()
    world.leads(Role.CANDIDATE, 0)
    world.leads(Role.FOLLOWER, 0)
    world.leads(Role.CANDIDATE, 0, term=3)
    world.leads(Role.LEADER, 1, term=3)
    world.leads(Role.FOLLOWER, 0, term=4)
    assert world.value('elections_total{result="lost"}') == 1
    assert world.value('elections_total{result="won"}') == 1


def test_votes_this_member_refuses_are_counted_by_reason() -> None:
    world = World()
    refusal = VoteRefusal.LEADER_ALIVE
    answers = (
        PreVoteResponse(1, 2, 3, refusal),
        PreVoteResponse(1, 3, 3, VoteRefusal.NONE),
        VoteResponse(1, 2, 3, refusal),
        VoteResponse(1, 3, 3, VoteRefusal.NONE),
    )
    world.takes(messages=tuple(Outgoing(2, answer) for answer in answers))
    assert world.value('prevotes_total{reason="leader_alive",result="refused"}') == 1
    assert world.value('prevotes_total{reason="none",result="granted"}') == 1
    assert world.value('votes_refused_total{reason="leader_alive"}') == 1


def test_time_to_disk_and_to_a_quorum_is_measured_per_batch() -> None:
    world = World()
    world.takes(leadership=Leadership(Role.LEADER, 2, 1), persist=(batch(1, 5, 6),))
    world.now = 4 * MILLISECOND
    assert world.core.oldest_persist_s() == 0.004
    world.core.durable(world.now, 1)
    world.now = 9 * MILLISECOND
    world.takes(committed=(Entry(6, 2, EntryKind.COMMAND, 0, b"x"),))
    assert world.core.oldest_persist_s() == 0
    assert world.value("persist_seconds_sum") == 0.004
    assert world.value("batch_entries_sum") == 2
    assert world.value('commit_latency_seconds_sum{stage="persist"}') == 0.004
    assert world.value('commit_latency_seconds_sum{stage="quorum"}') == 0.009


def test_turn_tells_how_long_commands_queued_and_when_they_were_applied() -> None:
    world = World()
    world.takes(leadership=Leadership(Role.LEADER, 2, 1), persist=(batch(1, 5),))
    world.core.turned(put_at=0, began=2 * MILLISECOND, ended=3 * MILLISECOND)
    world.now = 9 * MILLISECOND
    world.takes(committed=(Entry(5, 2, EntryKind.COMMAND, 0, b"x"),))
    world.core.turned(put_at=9 * MILLISECOND, began=9 * MILLISECOND, ended=11 * MILLISECOND)
    world.core.turned(put_at=20 * MILLISECOND, began=21 * MILLISECOND, ended=21 * MILLISECOND)
    assert world.value("loop_turn_seconds_count") == 3
    assert world.value("loop_turn_seconds_sum") == 0.003
    assert world.value('commit_latency_seconds_count{stage="queue"}') == 1
    assert world.value('commit_latency_seconds_sum{stage="queue"}') == 0.002
    assert world.value('commit_latency_seconds_count{stage="apply"}') == 1
    assert world.value('commit_latency_seconds_sum{stage="apply"}') == 0.011


def test_uncommitted_bytes_are_those_of_a_leaders_open_batches() -> None:
    world = World()
    world.takes(leadership=Leadership(Role.LEADER, 2, 1), persist=(batch(1, 5, 6), batch(2, 7)))
    assert world.core.uncommitted_bytes() == 3
    world.takes(committed=(Entry(6, 2, EntryKind.COMMAND, 0, b"x"),))
    assert world.core.uncommitted_bytes() == 1
    world.leads(Role.FOLLOWER, 0, term=3)
    assert world.core.uncommitted_bytes() == 0


@pytest.mark.parametrize(
    ("reason", "count"),
    [
        pytest.param("state differs from the group's at 256", 1, id="follower"),
        pytest.param("state differs from the majority's at 256", 1, id="leader"),
        pytest.param("the store forgot term 3, it is at 2", 0, id="amnesia"),
    ],
)
def test_only_a_state_that_differs_counts_as_a_mismatch(reason: str, count: int) -> None:
    world = World()
    world.takes(quarantine=reason)
    assert world.value("digest_mismatch_total") == count


def test_follower_measures_its_disk_but_no_commits() -> None:
    world = World()
    world.takes(persist=(batch(1, 5),))
    world.core.durable(MILLISECOND, 1)
    world.takes(committed=(Entry(5, 2, EntryKind.COMMAND, 0, b"x"),))
    assert world.value("persist_seconds_count") == 1
    assert world.value('commit_latency_seconds_count{stage="quorum"}') == 0


def test_lease_that_ends_counts_and_one_that_is_extended_does_not() -> None:
    world = World()
    for lease in (LeaderLease(2, 1, 100), LeaderLease(2, 1, 200), LeaderLease(2, 1, 0), LeaderLease(3, 2, 300)):
        world.takes(lease=lease)
    assert world.value("lease_lapses_total") == 1
    world.takes(lease=LeaderLease(3, 3, 900))
    assert world.value("lease_lapses_total") == 2


def test_snapshots_are_counted_on_both_ends() -> None:
    world = World()
    world.takes(snapshot_wanted=(2, 3))
    world.takes(persist=(batch(1, install=LogMark(9, 2)),))
    world.core.durable(500 * MILLISECOND, 1)
    assert world.value("snapshot_install_seconds_sum") == 0.5
    assert world.value("snapshots_sent_total") == 2
    assert world.value("snapshots_installed_total") == 1

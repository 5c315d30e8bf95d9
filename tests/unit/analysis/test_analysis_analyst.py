"""The analyst over time: events in, changes of findings out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.analysis.analyst import Analyst
from services.analysis.kinds import FindingKind
from services.analysis.model import FindingChanges, InstanceMemory, Limits, Progress, TopologyDelta
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.operators import Downtime, Maintenance
from services.shared.topology.reading import Reading
from services.shared.topology.server import SemiSync
from services.shared.topology.snapshot import Cluster, TopologySnapshot
from tests.unit.analysis.builders import (
    CLUSTER,
    PRIMARY,
    START,
    State,
    a_primary,
    a_replica,
    a_topology,
    at,
    failed_reading,
    with_channel,
)

K = FindingKind
WAITING = SemiSync(source_enabled=True, source_status=True, wait_for_replica_count=1, clients=0)


@pytest.fixture
def analyst() -> Analyst:
    return Analyst(Limits())


def delta(*instances: Instance, removed: tuple[InstanceKey, ...] = ()) -> TopologyDelta:
    """Return a change of these instances."""
    return TopologyDelta(changed_instances=instances, removed_instances=removed)


def kinds(analyst: Analyst) -> dict[str, FindingKind]:
    """Return what holds, by instance."""
    return {str(finding.instance): finding.kind for finding in analyst.findings()}


def test_healthy_topology_has_no_findings(analyst: Analyst) -> None:
    assert analyst.take(a_topology(a_primary(), a_replica(1), a_replica(2)), START) is None
    assert analyst.findings() == ()
    assert analyst.revision == 0


def test_a_dying_primary_is_unreachable_first_then_dead_then_over(analyst: Analyst) -> None:
    analyst.take(a_topology(a_primary(), a_replica(1), a_replica(2)), START)

    changes = analyst.take(delta(a_primary(answers=False)), at(1.5))
    assert changes is not None
    (finding,) = changes.changed
    assert (finding.kind, finding.detect_time, finding.actionable) == (K.UNREACHABLE_PRIMARY, at(1.5), False)

    changes = analyst.take(delta(a_replica(1, State.FAILING, seconds=2)), at(2.1))
    assert changes is not None
    assert [finding.counts.replicating for finding in changes.changed] == [1]
    assert [finding.detect_time for finding in changes.changed] == [at(1.5)]

    changes = analyst.take(delta(a_replica(2, State.FAILING, seconds=2.2)), at(2.3))
    assert changes is not None
    (finding,) = changes.changed
    assert (finding.kind, finding.detect_time, finding.evidence_time) == (K.DEAD_PRIMARY, at(2.3), at(2.2))
    assert finding.actionable
    assert finding.replicas == (InstanceKey("db1", 3306), InstanceKey("db2", 3306))
    assert (finding.cluster_id, finding.cluster_alias, finding.server_uuid) == ("c1", "orders", "uuid-0")

    changes = analyst.take(delta(a_primary(seconds=9), a_replica(1, seconds=9)), at(9))
    assert changes == FindingChanges(4, ended=(PRIMARY,))
    assert analyst.findings() == ()


def test_revision_grows_by_one_with_every_change_and_only_then(analyst: Analyst) -> None:
    analyst.take(a_topology(a_primary(), a_replica(1)), START)
    assert analyst.take(delta(a_primary(seconds=1)), at(1)) is None
    changes = analyst.take(delta(a_primary(answers=False)), at(2))
    assert changes is not None
    assert changes.revision == analyst.revision == 1
    assert analyst.take(delta(a_primary(answers=False, seconds=0)), at(3)) is None
    assert analyst.revision == 1


def test_a_second_snapshot_keeps_when_findings_began(analyst: Analyst) -> None:
    dying = (a_primary(answers=False), a_replica(1, State.FAILING), a_replica(2, State.FAILING))
    analyst.take(a_topology(*dying), at(1))
    assert analyst.take(a_topology(*dying), at(60)) is None
    assert [finding.detect_time for finding in analyst.findings()] == [at(1)]


def test_findings_of_instances_missing_from_a_snapshot_end(analyst: Analyst) -> None:
    analyst.take(a_topology(a_primary(answers=False), a_replica(1, State.FAILING)), START)
    changes = analyst.take(TopologySnapshot(revision=2), at(1))
    assert changes is not None
    assert changes.ended == (PRIMARY,)


def test_a_forgotten_instance_has_no_finding(analyst: Analyst) -> None:
    analyst.take(a_topology(a_primary(answers=False), a_replica(1, State.FAILING)), START)
    changes = analyst.take(delta(removed=(PRIMARY,)), at(1))
    assert changes is not None
    assert changes.ended == (PRIMARY,)
    assert analyst.explain(PRIMARY, at(1)) is None


def test_a_forgotten_replica_counts_no_more(analyst: Analyst) -> None:
    analyst.take(a_topology(a_primary(answers=False), a_replica(1), a_replica(2, State.FAILING)), START)
    assert kinds(analyst) == {"db0:3306": K.UNREACHABLE_PRIMARY}
    analyst.take(delta(removed=(InstanceKey("db1", 3306),)), at(1))
    assert kinds(analyst) == {"db0:3306": K.DEAD_PRIMARY}


def test_a_replica_that_follows_another_counts_there(analyst: Analyst) -> None:
    other = replace(a_primary(), key=InstanceKey("db5", 3306))
    analyst.take(a_topology(a_primary(), other, a_replica(1, State.STOPPED)), START)
    assert kinds(analyst) == {"db0:3306": K.PRIMARY_SINGLE_REPLICA_NOT_REPLICATING}
    analyst.take(delta(a_replica(1, State.STOPPED, source=other.key)), at(1))
    assert kinds(analyst) == {"db5:3306": K.PRIMARY_SINGLE_REPLICA_NOT_REPLICATING}


def test_progress_and_time_change_no_finding(analyst: Analyst) -> None:
    analyst.take(a_topology(a_primary(), a_replica(1, heartbeat=0)), START)
    assert analyst.take(Progress(staleness=at(5) - START), at(3600)) is None
    assert analyst.tick(at(7200)) is None


def test_evidence_is_as_new_as_the_newest_probe_told_of(analyst: Analyst) -> None:
    assert analyst.evidence_time is None
    analyst.take(a_topology(a_primary(seconds=3), a_replica(1, seconds=2)), at(10))
    assert analyst.evidence_time == at(3)
    analyst.take(Progress(staleness=at(1) - START), at(11))
    assert analyst.evidence_time == at(10)
    analyst.take(Progress(staleness=at(5) - START), at(12))
    assert analyst.evidence_time == at(10)
    analyst.take(Progress(), at(13))
    assert analyst.evidence_time == at(10)


def test_downtime_marks_a_finding_until_it_ends(analyst: Analyst) -> None:
    downtime = Downtime("ops", "disk", at(60))
    dead = replace(a_primary(answers=False), downtime=downtime)
    analyst.take(a_topology(dead, a_replica(1, State.FAILING)), at(1))
    assert [finding.downtimed for finding in analyst.findings()] == [True]
    assert analyst.next_tick() == at(60)
    changes = analyst.tick(at(60))
    assert changes is not None
    assert [finding.downtimed for finding in changes.changed] == [False]
    assert analyst.next_tick() is None


def test_the_end_of_a_replicas_downtime_is_counted(analyst: Analyst) -> None:
    replica = replace(a_replica(1, State.FAILING), downtime=Downtime("ops", "disk", at(60)))
    analyst.take(a_topology(a_primary(answers=False), replica), at(1))
    assert [finding.counts.downtimed for finding in analyst.findings()] == [1]
    analyst.tick(at(61))
    assert [finding.counts.downtimed for finding in analyst.findings()] == [0]


@pytest.mark.parametrize(
    "gone", [pytest.param(delta(removed=(PRIMARY,)), id="removed"), pytest.param(TopologySnapshot(), id="replaced")]
)
def test_nothing_is_due_for_an_instance_that_is_gone(analyst: Analyst, gone: TopologyDelta | TopologySnapshot) -> None:
    analyst.take(a_topology(replace(a_primary(), downtime=Downtime("ops", "disk", at(60)))), START)
    analyst.take(gone, at(1))
    assert analyst.next_tick() is None


def test_a_renamed_cluster_changes_its_findings(analyst: Analyst) -> None:
    analyst.take(a_topology(a_primary(answers=False), a_replica(1, State.FAILING)), START)
    changes = analyst.take(TopologyDelta(changed_clusters=(Cluster("c1", "billing"),)), at(1))
    assert changes is not None
    assert [finding.cluster_alias for finding in changes.changed] == ["billing"]
    assert analyst.take(TopologyDelta(changed_clusters=(Cluster("c1", "billing", epoch=7),)), at(2)) is None


def test_a_source_that_was_never_read_is_found_but_left_to_a_person(analyst: Analyst) -> None:
    never = Instance(PRIMARY, cluster_id="c1", reading=Reading(last_checked_time=at(1), error="timed out"))
    analyst.take(a_topology(never, a_replica(1, State.FAILING)), at(1))
    (finding,) = analyst.findings()
    assert finding.kind is K.DEAD_PRIMARY
    assert not finding.actionable
    assert "never read" in finding.description


class TestLockedSemiSync:
    """A hypothesis becomes a proof when readings show the same position for long enough."""

    @staticmethod
    def story(analyst: Analyst, *readings: tuple[float, int]) -> FindingKind:
        """Read a waiting primary at these times and positions; return the last verdict."""
        replicas = (a_replica(1), a_replica(2))
        analyst.take(a_topology(a_primary(semi_sync=WAITING, seconds=readings[0][0]), *replicas), START)
        for seconds, position in readings:
            analyst.take(delta(a_primary(semi_sync=WAITING, seconds=seconds, position=position)), at(seconds))
        return kinds(analyst).get("db0:3306", K.NO_PROBLEM)

    def test_first_reading_is_a_hypothesis(self, analyst: Analyst) -> None:
        assert self.story(analyst, (0, 4)) is K.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS

    def test_standing_still_for_longer_than_the_limit_is_a_proof(self, analyst: Analyst) -> None:
        assert self.story(analyst, (0, 4), (5, 4), (10, 4)) is K.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS
        assert self.story(analyst, (10.1, 4)) is K.LOCKED_SEMI_SYNC_PRIMARY

    def test_a_proof_holds_while_the_position_stands_still(self, analyst: Analyst) -> None:
        assert self.story(analyst, (0, 4), (11, 4), (300, 4)) is K.LOCKED_SEMI_SYNC_PRIMARY

    def test_a_moving_position_begins_anew(self, analyst: Analyst) -> None:
        assert self.story(analyst, (0, 4), (9, 5), (18, 5)) is K.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS

    def test_an_end_of_the_situation_begins_anew(self, analyst: Analyst) -> None:
        self.story(analyst, (0, 4), (9, 4))
        analyst.take(delta(a_primary(seconds=9.5)), at(9.5))
        assert kinds(analyst) == {}
        analyst.take(delta(a_primary(semi_sync=WAITING, seconds=11)), at(11))
        assert kinds(analyst) == {"db0:3306": K.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS}

    def test_time_without_readings_proves_nothing(self, analyst: Analyst) -> None:
        assert self.story(analyst, (0, 4)) is K.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS
        analyst.take(delta(a_replica(1, seconds=600)), at(600))
        analyst.tick(at(600))
        assert kinds(analyst) == {"db0:3306": K.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS}

    def test_an_unknown_position_proves_nothing(self, analyst: Analyst) -> None:
        for seconds in (0, 20):
            primary = replace(a_primary(semi_sync=WAITING, seconds=seconds), binlog_position=None)
            analyst.take(a_topology(primary, a_replica(1)), at(seconds))
        assert kinds(analyst) == {"db0:3306": K.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS}


def test_findings_are_listed_more_replicas_first_then_by_endpoint(analyst: Analyst) -> None:
    def dead(host: str, replicas: int) -> list[Instance]:
        key = InstanceKey(host, 3306)
        primary = replace(a_primary(answers=False), key=key, cluster_id=host)
        followers = [
            replace(a_replica(number, State.FAILING, source=key), key=InstanceKey(f"{host}-{number}", 3306))
            for number in range(replicas)
        ]
        return [primary, *followers]

    analyst.take(a_topology(*dead("b", 1), *dead("c", 2), *dead("a", 1), *dead("d", 0)), START)
    assert [finding.instance.host for finding in analyst.findings()] == ["c", "a", "b", "d"]
    assert [finding.instance.host for finding in analyst.findings(["a"])] == ["a"]


def test_explain_of_a_healthy_primary_shows_every_rule_refuted(analyst: Analyst) -> None:
    analyst.take(a_topology(a_primary(), a_replica(1)), START)
    explanation = analyst.explain(PRIMARY, at(1))
    assert explanation is not None
    assert explanation.finding.kind is K.NO_PROBLEM
    assert explanation.finding.detect_time is None
    assert len(explanation.rules) == 31
    assert not any(rule.holds for rule in explanation.rules)


def test_explain_agrees_with_the_finding(analyst: Analyst) -> None:
    analyst.take(a_topology(a_primary(answers=False), a_replica(1)), at(1))
    explanation = analyst.explain(PRIMARY, at(2))
    assert explanation is not None
    assert explanation.finding == analyst.findings()[0]
    assert [rule.kind for rule in explanation.rules if rule.decides] == [K.UNREACHABLE_PRIMARY]


def test_only_instances_worth_it_are_analysed_members(analyst: Analyst) -> None:
    analyst.take(a_topology(a_primary(), a_replica(1), a_replica(2, State.DEAD)), START)
    assert analyst.analysed_members("c1") == (PRIMARY, InstanceKey("db2", 3306))


def test_a_cluster_is_named_by_id_or_exact_alias(analyst: Analyst) -> None:
    snapshot = a_topology(a_primary())
    clusters = {"c1": CLUSTER, "c2": Cluster("c2", "orders"), "orders-2": Cluster("orders-2", "c1")}
    analyst.take(replace(snapshot, clusters=clusters), START)
    assert analyst.clusters_named("c1") == ("c1",)
    assert analyst.clusters_named("orders") == ("c1", "c2")
    assert analyst.clusters_named("order") == ()


def test_failed_probe_of_a_dead_primary_again_changes_nothing(analyst: Analyst) -> None:
    analyst.take(a_topology(a_primary(answers=False), a_replica(1, State.FAILING)), at(1))
    again = replace(a_primary(answers=False), reading=failed_reading(7))
    assert analyst.take(delta(again), at(7)) is None


class TestChangelog:
    """What was found before."""

    @staticmethod
    def told(analyst: Analyst) -> list[tuple[FindingKind, FindingKind, float]]:
        """Return the changes, oldest first, each with how long the finding before had held."""
        changes = analyst.changelog.changes(None, None)
        assert [change.number for change in changes] == list(range(len(changes), 0, -1))
        return [(change.before, change.after, change.lasted.total_seconds()) for change in reversed(changes)]

    def test_only_changes_make_rows_and_the_first_finding_makes_none(self, analyst: Analyst) -> None:
        analyst.take(a_topology(a_primary(), a_replica(1)), START)
        assert self.told(analyst) == []
        for seconds in (2, 3):
            analyst.take(delta(a_primary(answers=False)), at(seconds))
        analyst.take(delta(a_primary(seconds=9)), at(9))
        assert self.told(analyst) == [
            (K.NO_PROBLEM, K.UNREACHABLE_PRIMARY, 2.0),
            (K.UNREACHABLE_PRIMARY, K.NO_PROBLEM, 7.0),
        ]

    def test_what_is_not_told_is_recorded_unless_in_maintenance(self, analyst: Analyst) -> None:
        downtimed = replace(a_primary(), downtime=Downtime("ops", "disk", at(60)))
        analyst.take(a_topology(downtimed, a_replica(1)), START)
        analyst.take(delta(replace(downtimed, reading=failed_reading())), at(2))
        assert len(self.told(analyst)) == 1
        analyst.take(delta(replace(a_primary(), maintenance=Maintenance("ops", "disk"))), at(3))
        assert len(self.told(analyst)) == 1

    def test_instances_nobody_reads_from_make_no_rows(self, analyst: Analyst) -> None:
        analyst.take(a_topology(a_primary()), START)
        analyst.take(delta(a_primary(answers=False)), at(2))
        analyst.take(delta(a_primary(seconds=3)), at(3))
        assert self.told(analyst) == []

    def test_old_rows_are_dropped(self, analyst: Analyst) -> None:
        analyst.take(a_topology(a_primary(), a_replica(1)), START)
        analyst.take(delta(a_primary(answers=False)), at(2))
        later = 241 * 3600
        analyst.take(delta(a_primary(seconds=later)), at(later))
        assert [change.after for change in analyst.changelog.changes("c1", PRIMARY)] == [K.NO_PROBLEM]

    def test_a_cluster_or_an_instance_can_be_asked_for(self, analyst: Analyst) -> None:
        analyst.take(a_topology(a_primary(), a_replica(1)), START)
        analyst.take(delta(a_primary(answers=False)), at(2))
        assert len(analyst.changelog.changes("c1", None)) == len(analyst.changelog.changes(None, PRIMARY)) == 1
        assert analyst.changelog.changes("c2", None) == analyst.changelog.changes(None, InstanceKey("db1", 3306)) == ()


def test_grace_takes_the_recovery_away_until_it_ends(analyst: Analyst) -> None:
    analyst.take(a_topology(a_primary(answers=False), a_replica(1, State.FAILING)), at(1))
    assert [finding.actionable for finding in analyst.findings()] == [True]
    analyst.take_over([InstanceMemory(PRIMARY, restart_time=at(2))], at(2))
    assert [(finding.actionable, finding.graced) for finding in analyst.findings()] == [(False, True)]
    assert analyst.next_tick() == at(7)
    assert analyst.tick(at(6.9)) is None
    analyst.tick(at(7))
    assert [(finding.actionable, finding.graced) for finding in analyst.findings()] == [(True, False)]


def test_a_downtime_made_longer_is_kept_in_mind(analyst: Analyst) -> None:
    replicas = (a_replica(1, State.FAILING),)
    for end in (60, 120):
        dead = replace(a_primary(answers=False), downtime=Downtime("ops", "disk", at(end)))
        analyst.take(a_topology(dead, *replicas), at(1))
    assert analyst.tick(at(60)) is None
    assert analyst.next_tick() == at(120)
    assert analyst.tick(at(120)) is not None


def test_a_cluster_primary_comes_before_others(analyst: Analyst) -> None:
    other = replace(a_primary(answers=False), key=InstanceKey("a", 3306))
    analyst.take(a_topology(a_primary(answers=False), other, a_replica(1, State.FAILING, source=other.key)), START)
    assert [finding.instance.host for finding in analyst.findings()] == ["db0", "a"]


def test_replicas_come_after_primaries(analyst: Analyst) -> None:
    failing = replace(a_replica(1, State.FAILING), key=InstanceKey("a", 3306), depth=1)
    analyst.take(a_topology(a_primary(answers=False), failing), START)
    assert [finding.instance.host for finding in analyst.findings()] == ["db0", "a"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"query_lag": timedelta(seconds=60)}, "lagging", id="the-query-says-it-lags"),
        pytest.param({"lag": timedelta(seconds=60)}, "lagging", id="the-server-says-it-lags"),
    ],
)
def test_lag_is_that_of_the_query_where_it_works(analyst: Analyst, change: dict[str, object], field: str) -> None:
    analyst.take(a_topology(a_primary(answers=False), with_channel(a_replica(1, lag=0), **change)), START)
    assert [getattr(finding.counts, field) for finding in analyst.findings()] == [1]
    both = with_channel(a_replica(1, lag=60), query_lag=timedelta())
    analyst.take(delta(both), START)
    assert [finding.counts.lagging for finding in analyst.findings()] == [0]

"""What holds for every topology."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.analysis.analyst import Analyst
from services.analysis.kinds import FindingKind
from services.analysis.memory import Memory
from services.analysis.model import Limits, TopologyDelta
from services.analysis.rules import trace
from services.shared.topology.channel import ReplicationChannel, ThreadState
from services.shared.topology.group import GroupMemberRole, GroupMemberState, GroupState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.reading import Reading
from services.shared.topology.server import SemiSync
from tests.unit.analysis.builders import (
    START,
    State,
    a_primary,
    a_replica,
    a_topology,
    at,
    circumstances,
    failed_reading,
    good_reading,
    verdict,
    with_channel,
)

K = FindingKind
LIMITS = Limits(enforce_exact_semi_sync_replicas=True, recover_non_writeable_primary=True)
UNKNOWN_OR = st.none() | st.booleans()
SEMI_SYNC = st.builds(
    SemiSync,
    source_enabled=UNKNOWN_OR,
    source_status=UNKNOWN_OR,
    wait_for_replica_count=st.none() | st.integers(0, 2),
    clients=st.none() | st.integers(0, 2),
)
PRIMARIES = st.builds(
    a_primary, answers=st.booleans(), partial=st.booleans(), read_only=UNKNOWN_OR, semi_sync=SEMI_SYNC
)
SILENT_PRIMARIES = st.builds(a_primary, answers=st.just(False))
ABOVE = ReplicationChannel(InstanceKey("top", 3306), io_state=ThreadState.CONNECTING, sql_state=ThreadState.ON)
GROUPS = st.builds(
    GroupState,
    st.sampled_from(["", "g"]),
    state=st.sampled_from(GroupMemberState),
    role=st.sampled_from(GroupMemberRole),
)
SUBJECTS = st.builds(
    lambda instance, channels, co_primary, depth, group, version, errno: replace(
        instance,
        channels=tuple(replace(channel, io_errno=errno) for channel in channels),
        co_primary=co_primary,
        depth=depth,
        group=group,
        version=version,
    ),
    PRIMARIES,
    st.sampled_from([(), (ABOVE,)]),
    st.booleans(),
    st.sampled_from([None, 0, 1, 2]),
    st.none() | GROUPS,
    st.sampled_from(["", "8.4.1", "6.4-maxscale"]),
    st.sampled_from([0, 2003]),
)


@st.composite
def replica_lists(draw: st.DrawFn) -> list[Instance]:
    """Draw up to five replicas in any state."""
    states = draw(st.lists(st.sampled_from(State), max_size=5))
    return [
        a_replica(
            number,
            state,
            lag=draw(st.sampled_from([None, 0, 10, 60])),
            delay=draw(st.sampled_from([0, 60])),
            heartbeat=draw(st.sampled_from([None, 0])),
        )
        for number, state in enumerate(states, start=1)
    ]


def forget(replica: Instance, what: str) -> Instance:
    """Return a replica of which something is not known."""
    match what:
        case "reading":
            return replace(replica, reading=Reading(last_checked_time=at(0)))
        case "threads":
            return with_channel(replica, io_state=ThreadState.UNKNOWN, sql_state=ThreadState.UNKNOWN)
        case _:
            return with_channel(replica, lag=None)


READINGS = st.sampled_from([good_reading(3), failed_reading(3), failed_reading(3, partial=True), Reading()])
FORGOTTEN = st.sampled_from(["reading", "threads", "lag"])


@settings(deadline=None)
@given(SUBJECTS, replica_lists())
def test_at_most_one_rule_decides_and_it_is_the_first_that_holds(subject: Instance, replicas: list[Instance]) -> None:
    rules = trace(circumstances(subject, replicas, LIMITS))
    deciding = [rule.kind for rule in rules if rule.decides]
    assert deciding == [rule.kind for rule in rules if rule.holds][:1]
    assert verdict(subject, replicas, LIMITS) is (deciding or [K.NO_PROBLEM])[0]


@settings(deadline=None)
@given(SUBJECTS, replica_lists())
def test_counts_keep_their_bounds(subject: Instance, replicas: list[Instance]) -> None:
    counts = circumstances(subject, replicas, LIMITS).counts
    assert 0 <= counts.replicating <= counts.valid <= counts.replicas == len(replicas)
    assert counts.failing_to_connect <= counts.valid - counts.replicating
    assert max(counts.lagging, counts.delayed, counts.downtimed) <= counts.replicas


@settings(deadline=None)
@given(PRIMARIES, replica_lists().flatmap(lambda replicas: st.tuples(st.just(replicas), st.permutations(replicas))))
def test_order_of_replicas_does_not_matter(subject: Instance, orders: tuple[list[Instance], list[Instance]]) -> None:
    first, second = orders
    assert circumstances(subject, first, LIMITS) == circumstances(subject, second, LIMITS)


@settings(deadline=None)
@given(SUBJECTS, replica_lists(), st.randoms(use_true_random=False))
def test_order_of_instances_in_a_snapshot_does_not_matter(
    subject: Instance, replicas: list[Instance], random: st.DataObject
) -> None:
    instances = [subject, *replicas]
    shuffled = list(instances)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert findings(instances) == findings(shuffled)


def findings(instances: Sequence[Instance]) -> tuple[object, ...]:
    """Return what an analyst finds in a topology of these instances."""
    analyst = Analyst(LIMITS)
    analyst.take(a_topology(*instances), START)
    return analyst.findings()


@settings(deadline=None)
@given(SUBJECTS, replica_lists())
def test_an_unrelated_healthy_instance_changes_nothing(subject: Instance, replicas: list[Instance]) -> None:
    stranger = replace(a_primary(), key=InstanceKey("stranger", 3306), server_uuid="s", cluster_id="c9")
    follower = replace(a_replica(9, source=stranger.key), cluster_id="c9")
    instances = [subject, *replicas]
    assert findings(instances) == findings([*instances, stranger, follower])


@settings(deadline=None)
@given(PRIMARIES, replica_lists(), FORGOTTEN, st.data())
def test_an_unknown_fact_of_a_replica_raises_no_count(
    subject: Instance, replicas: list[Instance], what: str, data: st.DataObject
) -> None:
    before = circumstances(subject, replicas, LIMITS).counts
    after = circumstances(subject, _forget_one(replicas, what, data), LIMITS).counts
    assert after.replicas == before.replicas
    assert after.valid <= before.valid
    assert after.replicating <= before.replicating
    assert after.lagging <= before.lagging


@settings(deadline=None)
@given(SILENT_PRIMARIES, replica_lists(), FORGOTTEN, st.data())
def test_an_unknown_fact_of_a_replica_never_clears_a_silent_primary(
    subject: Instance, replicas: list[Instance], what: str, data: st.DataObject
) -> None:
    before = verdict(subject, replicas)
    after = verdict(subject, _forget_one(replicas, what, data))
    assert before is not K.NO_PROBLEM
    assert after is not K.NO_PROBLEM
    if before.name.startswith("DEAD"):
        assert after.name.startswith("DEAD")


@settings(deadline=None)
@given(replica_lists().filter(bool), FORGOTTEN, st.data())
def test_an_unknown_fact_of_a_replica_never_clears_a_silent_intermediate(
    replicas: list[Instance], what: str, data: st.DataObject
) -> None:
    subject = replace(a_primary(answers=False), channels=(ABOVE,), depth=2)
    before = verdict(subject, replicas)
    after = verdict(subject, _forget_one(replicas, what, data))
    assert before is not K.NO_PROBLEM
    assert after is not K.NO_PROBLEM
    if before.name.startswith("DEAD"):
        assert after.name.startswith("DEAD")


@settings(deadline=None)
@given(SUBJECTS, replica_lists(), st.data())
def test_judging_everything_anew_finds_the_same(
    subject: Instance, replicas: list[Instance], data: st.DataObject
) -> None:
    instances = [subject, *replicas]
    analyst = Analyst(LIMITS)
    analyst.take(a_topology(*instances), START)
    for _ in range(data.draw(st.integers(0, 3))):
        changed = replace(data.draw(st.sampled_from(instances)), reading=data.draw(READINGS))
        analyst.take(TopologyDelta(changed_instances=(changed,)), START)
        gone = data.draw(st.lists(st.sampled_from([each.key for each in instances]), max_size=1))
        analyst.take(TopologyDelta(removed_instances=tuple(gone)), START)
    assert analyst.differences(START) == ()


def _forget_one(replicas: list[Instance], what: str, data: st.DataObject) -> list[Instance]:
    index = data.draw(st.integers(0, max(0, len(replicas) - 1)))
    return [forget(replica, what) if number == index else replica for number, replica in enumerate(replicas)]


@settings(deadline=None)
@given(replica_lists(), st.floats(0, 1000))
def test_a_primary_a_healthy_replica_hears_from_is_never_dead(replicas: list[Instance], silence: float) -> None:
    memory = Memory()
    for seconds in (0.0, silence):
        heard = a_replica(9, seconds=seconds, heartbeat=seconds)
        memory.note(heard)
    found = verdict(a_primary(answers=False), [*replicas, heard], memory=memory)
    assert found in {K.UNREACHABLE_PRIMARY, K.UNREACHABLE_PRIMARY_WITH_LAGGING_REPLICAS}


@settings(deadline=None)
@given(st.floats(0, 100), st.floats(0, 1), st.floats(0.01, 30))
def test_silence_is_only_found_beyond_what_the_period_allows(silence: float, latency: float, period: float) -> None:
    memory = Memory()
    for seconds in (0.0, silence):
        replica = a_replica(1, seconds=seconds, heartbeat=0)
        replica = with_channel(replica, heartbeat_period=timedelta(seconds=period))
        replica = replace(replica, reading=replace(replica.reading, latency=timedelta(seconds=latency)))
        memory.note(replica)
    silent = circumstances(a_primary(answers=False), [replica], memory=memory).silent
    allowed = max(timedelta(seconds=period) + timedelta(seconds=0.5), 2 * timedelta(seconds=period))
    assert bool(silent) == (timedelta(seconds=silence) - timedelta(seconds=latency) > allowed)

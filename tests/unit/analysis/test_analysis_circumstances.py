"""What counts as valid, replicating, failing, lagging; and what a role is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.analysis.circumstances import is_analysed
from services.analysis.kinds import FindingKind
from services.analysis.memory import Memory
from services.analysis.model import Limits
from services.analysis.rules import trace
from services.analysis.standing import is_primary
from services.shared.topology.channel import ReplicationChannel, ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.operators import Downtime
from services.shared.topology.position import BinlogPosition
from services.shared.topology.reading import Reading
from services.shared.topology.server import SemiSync
from tests.unit.analysis.builders import (
    PRIMARY,
    State,
    a_primary,
    a_replica,
    at,
    circumstances,
    failed_reading,
    good_reading,
    verdict,
    with_channel,
)

K = FindingKind


@pytest.mark.parametrize("errno", [1040, 1045, 2002, 2003, 2005, 2006, 2013])
def test_connection_error_number_counts_as_failing_whatever_the_text(errno: int) -> None:
    replica = with_channel(a_replica(1, State.FAILING), io_errno=errno, io_error="Verbindungsfehler")
    assert circumstances(a_primary(), [replica]).counts.failing_to_connect == 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("error connecting to master 'repl@db0:3306' - retry-time: 60", id="old-words"),
        pytest.param("Error reconnecting to source 'repl@db0:3306'. This was attempt 1/86400", id="new-words"),
        pytest.param("ERROR 2003\nwhile CONNECTING TO SOURCE", id="case-and-lines"),
    ],
)
def test_connection_error_text_alone_counts_as_failing(text: str) -> None:
    replica = with_channel(a_replica(1, State.FAILING), io_errno=0, io_error=text)
    assert circumstances(a_primary(), [replica]).counts.failing_to_connect == 1


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"io_errno": 1236, "io_error": "Got fatal error 1236 from source"}, id="another-error"),
        pytest.param({"io_errno": 0, "io_error": ""}, id="no-error"),
        pytest.param({"sql_state": ThreadState.OFF}, id="applier-stopped"),
        pytest.param({"sql_state": ThreadState.UNKNOWN}, id="applier-unknown"),
        pytest.param({"io_state": ThreadState.ON}, id="connected-again"),
    ],
)
def test_other_states_do_not_count_as_failing(changes: dict[str, object]) -> None:
    replica = with_channel(a_replica(1, State.FAILING), **changes)
    assert circumstances(a_primary(), [replica]).counts.failing_to_connect == 0


def test_dead_replica_counts_neither_as_failing_nor_as_replicating() -> None:
    replica = replace(a_replica(1, State.FAILING), reading=failed_reading())
    counts = circumstances(a_primary(), [replica, a_replica(2, State.DEAD)]).counts
    assert (counts.replicas, counts.valid, counts.failing_to_connect, counts.replicating) == (2, 0, 0, 0)


def test_a_replica_is_valid_by_its_last_probe_even_when_one_hangs_now() -> None:
    hanging = replace(good_reading(), last_attempted_check_time=at(9), last_check_valid=False)
    assert circumstances(a_primary(), [replace(a_replica(1), reading=hanging)]).counts.valid == 1


def test_the_analysed_instance_is_not_valid_while_a_probe_hangs() -> None:
    hanging = replace(good_reading(), last_attempted_check_time=at(9), last_check_valid=False)
    assert verdict(replace(a_primary(), reading=hanging), [a_replica(1)]) is K.UNREACHABLE_PRIMARY


@pytest.mark.parametrize(
    ("lag", "lagging"),
    [(None, 0), (0, 0), (10, 0), (10.1, 1)],
    ids=["unknown", "none", "at-the-limit", "above"],
)
def test_only_a_known_lag_above_the_limit_is_lagging(lag: float | None, lagging: int) -> None:
    assert circumstances(a_primary(), [a_replica(1, lag=lag)]).counts.lagging == lagging


def test_dead_replica_keeps_lagging_and_delayed() -> None:
    counts = circumstances(a_primary(), [a_replica(1, State.DEAD, lag=60, delay=5)]).counts
    assert (counts.lagging, counts.delayed) == (1, 1)


def test_downtimed_replicas_are_counted_until_their_downtime_ends() -> None:
    ends = (at(-1), at(0), at(1))
    replicas = [
        replace(a_replica(number), downtime=Downtime("ops", "disk", end)) for number, end in enumerate(ends, start=1)
    ]
    assert circumstances(a_primary(), replicas).counts.downtimed == 1


def test_only_the_channel_that_reads_from_the_subject_is_judged() -> None:
    other = ReplicationChannel(source=InstanceKey("elsewhere", 3306), name="x", io_state=ThreadState.OFF)
    replica = a_replica(1)
    assert circumstances(a_primary(), [replace(replica, channels=(*replica.channels, other))]).counts.replicating == 1


@pytest.mark.parametrize(
    ("source", "primary"),
    [
        pytest.param(None, True, id="no-channel"),
        pytest.param(InstanceKey("//db0", 3306), True, id="detached"),
        pytest.param(InstanceKey("_", 3306), True, id="underscore"),
        pytest.param(InstanceKey("", 3306), True, id="empty-host"),
        pytest.param(InstanceKey("db9", 0), True, id="port-zero"),
        pytest.param(InstanceKey("db9", 3306), False, id="replica"),
    ],
)
def test_role_follows_from_the_own_channels(source: InstanceKey | None, primary: bool) -> None:
    channels = () if source is None else (ReplicationChannel(source=source),)
    assert is_primary(Instance(InstanceKey("db1", 3306), channels=channels)) is primary


@pytest.mark.parametrize(
    ("instance", "replicas", "analysed"),
    [
        pytest.param(a_primary(), 1, True, id="has-replicas"),
        pytest.param(a_primary(), 0, False, id="healthy-and-lonely"),
        pytest.param(a_primary(answers=False), 0, True, id="dead-and-lonely"),
        pytest.param(a_replica(1), 0, False, id="healthy-leaf"),
        pytest.param(a_replica(1, State.FAILING), 0, True, id="leaf-that-cannot-connect"),
        pytest.param(Instance(PRIMARY, reading=Reading(last_checked_time=at(0))), 0, False, id="never-read"),
        pytest.param(Instance(PRIMARY, reading=Reading(last_checked_time=at(0))), 1, True, id="never-read-source"),
    ],
)
def test_healthy_instances_nobody_reads_from_are_left_out(instance: Instance, replicas: int, analysed: bool) -> None:
    assert is_analysed(instance, replicas, Limits()) is analysed
    assert is_analysed(instance, replicas, Limits(reduce=False))


class TestSilentChannels:
    """A thread that claims a source nothing comes from any more."""

    @staticmethod
    def heard(*readings: tuple[float, float]) -> tuple[Instance, Memory]:
        """Read a replica at these times, each with the time of the heartbeat seen then; return the last reading."""
        memory = Memory()
        for seconds, heartbeat in readings:
            replica = a_replica(1, seconds=seconds, heartbeat=heartbeat)
            memory.note(replica)
        return replica, memory

    def test_does_not_count_while_the_primary_does_not_answer(self) -> None:
        replica, memory = self.heard((0, 0), (2.1, 0))
        seen = circumstances(a_primary(answers=False), [replica], memory=memory)
        assert seen.counts.replicating == 0
        assert seen.silent == (replica.key,)
        assert verdict(a_primary(answers=False), [replica], memory=memory) is K.DEAD_PRIMARY

    def test_heartbeat_times_that_jitter_with_the_reading_do_not_break_the_silence(self) -> None:
        replica, memory = self.heard((0, 0), (1, 0.001), (2.1, 0.002))
        assert circumstances(a_primary(answers=False), [replica], memory=memory).silent == (replica.key,)

    def test_silence_begins_with_the_last_heartbeat(self) -> None:
        replica, memory = self.heard((0, 0), (60, 57.9))
        assert circumstances(a_primary(answers=False), [replica], memory=memory).silent == (replica.key,)

    def test_a_channel_that_reconnected_begins_anew(self) -> None:
        memory = Memory()
        memory.note(a_replica(1, seconds=0, heartbeat=0))
        memory.note(a_replica(1, State.FAILING, seconds=5, heartbeat=0))
        replica = a_replica(1, seconds=6, heartbeat=0)
        memory.note(replica)
        assert circumstances(a_primary(answers=False), [replica], memory=memory).counts.replicating == 1

    def test_explain_names_them(self) -> None:
        replica, memory = self.heard((0, 0), (2.1, 0))
        rules = trace(circumstances(a_primary(answers=False), [replica], memory=memory))
        assert "neither a heartbeat nor an event reached them in time: db1:3306" in rules[1].conditions[-1].seen

    def test_counts_while_the_primary_answers(self) -> None:
        replica, memory = self.heard((0, 0), (60, 0))
        assert circumstances(a_primary(), [replica], memory=memory).counts.replicating == 1

    def test_counts_within_two_periods(self) -> None:
        replica, memory = self.heard((0, 0), (2.0, 0))
        assert circumstances(a_primary(answers=False), [replica], memory=memory).counts.replicating == 1

    def test_counts_after_another_heartbeat(self) -> None:
        replica, memory = self.heard((0, 0), (5, 4), (6, 4))
        assert circumstances(a_primary(answers=False), [replica], memory=memory).counts.replicating == 1

    def test_counts_as_long_as_nobody_reads_it_again(self) -> None:
        # One reading proves no silence: a transaction that takes an hour to arrive brings no heartbeats.
        replica, memory = self.heard((0, -3600))
        assert circumstances(a_primary(answers=False), [replica], memory=memory).counts.replicating == 1

    def test_counts_when_events_come_instead_of_heartbeats(self) -> None:
        memory = Memory()
        for seconds in (0.0, 5.0):
            replica = with_channel(
                a_replica(1, seconds=seconds, heartbeat=0), read_position=BinlogPosition("b.1", int(seconds) + 4)
            )
            memory.note(replica)
        assert circumstances(a_primary(answers=False), [replica], memory=memory).counts.replicating == 1

    def test_short_periods_have_a_margin(self) -> None:
        memory = Memory()
        period = timedelta(milliseconds=100)
        for seconds in (0.0, 0.6):
            replica = with_channel(a_replica(1, seconds=seconds, heartbeat=0), heartbeat_period=period)
            memory.note(replica)
        assert circumstances(a_primary(answers=False), [replica], memory=memory).counts.replicating == 1

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"heartbeat_period": None}, id="no-period"),
            pytest.param({"heartbeat_period": timedelta()}, id="heartbeats-off"),
            pytest.param({"last_heartbeat_time": None}, id="none-ever-seen"),
        ],
    )
    def test_threads_are_trusted_without_heartbeats(self, changes: dict[str, object]) -> None:
        memory = Memory()
        for seconds in (0.0, 600.0):
            replica = with_channel(a_replica(1, seconds=seconds, heartbeat=0), **changes)
            memory.note(replica)
        assert circumstances(a_primary(answers=False), [replica], memory=memory).counts.replicating == 1


@pytest.mark.parametrize("missing", ["source_enabled", "source_status", "wait_for_replica_count", "clients"])
def test_unknown_semi_sync_facts_find_nothing(missing: str) -> None:
    whole = SemiSync(source_enabled=True, source_status=True, wait_for_replica_count=2, clients=1)
    limits = Limits(enforce_exact_semi_sync_replicas=True)
    replicas = [a_replica(1), a_replica(2)]
    assert verdict(a_primary(semi_sync=whole), replicas, limits) is K.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS
    unknown = replace(whole, **{missing: None})  # type: ignore[arg-type]
    assert verdict(a_primary(semi_sync=unknown), replicas, limits) is K.NO_PROBLEM


@pytest.mark.parametrize(("read_only", "kind"), [(True, K.READ_ONLY_PRIMARY), (None, K.NO_PROBLEM)])
def test_read_only_must_be_known(read_only: bool | None, kind: FindingKind) -> None:
    limits = Limits(recover_non_writeable_primary=True)
    assert verdict(a_primary(read_only=read_only), [a_replica(1)], limits) is kind

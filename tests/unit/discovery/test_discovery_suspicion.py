from __future__ import annotations

from dataclasses import replace

import pytest

from services.discovery.model import ProbeFailure, ProbeResult
from services.discovery.suspicion import SETTLED_WAIT_MS, Burst, suspects
from services.shared.topology.channel import ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.reading import Reading
from tests.unit.discovery.fleets import REFUSED, TIMED_OUT, at, instance, key, result

S = 1_000_000_000
P, R1, R2 = key("p"), key("r1"), key("r2")
ON = {name: instance(name, "p") for name in ("r1", "r2")}
OFF = {name: instance(name, "p", io=ThreadState.CONNECTING, io_errno=2003) for name in ("r1", "r2")}


def burst(*results: ProbeResult) -> Burst:
    made = Burst(P, 10 * S, 2 * S, 15 * S)
    for one in results:
        made.record(one)
    return made


def found(outcome: Instance | ProbeFailure, of: str = "", at_s: float = 10.05) -> ProbeResult:
    return result(outcome, of=of, at_s=at_s)


@pytest.mark.parametrize(
    ("results", "over"),
    [
        pytest.param([], False, id="nothing_known"),
        pytest.param([found(instance("p"))], True, id="answers"),
        pytest.param([found(instance("p"), at_s=10.001)], False, id="answered_a_question_from_before"),
        pytest.param([found(REFUSED, "p")], False, id="refused_and_replicas_unheard"),
        pytest.param([found(REFUSED, "p"), found(OFF["r1"]), found(ON["r2"])], False, id="one_still_receives"),
        pytest.param([found(REFUSED, "p"), found(OFF["r1"]), found(OFF["r2"])], True, id="gone_for_everybody"),
        pytest.param([found(REFUSED, "p"), found(OFF["r1"]), found(REFUSED, "r2")], True, id="other_replica_dead"),
        pytest.param([found(TIMED_OUT, "p"), found(OFF["r1"]), found(OFF["r2"])], False, id="hung"),
        pytest.param(
            [found(REFUSED, "p"), found(OFF["r1"]), found(OFF["r2"]), found(ON["r1"], at_s=10.1)],
            False,
            id="receives_again",
        ),
    ],
)
def test_burst_goes_on_until_the_picture_is_clear(results: list[ProbeResult], over: bool) -> None:
    assert burst(*results).is_over(int(10.2 * S), [R1, R2]) is over


@pytest.mark.parametrize(
    ("results", "end_s"),
    [
        pytest.param([], 12, id="nothing_heard"),
        pytest.param([found(TIMED_OUT, "p"), found(OFF["r1"]), found(OFF["r2"])], 12, id="nobody_receives"),
        pytest.param([found(TIMED_OUT, "p"), found(ON["r1"]), found(OFF["r2"])], 25, id="hung_and_one_receives"),
    ],
)
def test_burst_ends_when_time_is_up(results: list[ProbeResult], end_s: int) -> None:
    made = burst(*results)
    assert not made.is_over(end_s * S - 1, [R1, R2])
    assert made.is_over(end_s * S, [R1, R2])


def test_refusing_instance_without_replicas_is_a_clear_picture() -> None:
    assert burst(found(REFUSED, "p")).is_over(int(10.1 * S), [])


def test_pauses_grow_and_are_long_for_those_who_said_all() -> None:
    made = burst(found(ON["r1"]), found(OFF["r2"]))
    waits = [made.wait_ms(R1, probed) for probed in range(1, 30)]
    assert waits == sorted(waits)
    assert waits[0] <= 15
    assert made.wait_ms(R2, 1) == SETTLED_WAIT_MS
    made.record(found(ON["r2"], at_s=10.2))
    assert made.wait_ms(R2, 1) < SETTLED_WAIT_MS


def seen(one: Instance, *, valid: bool = True) -> Instance:
    return replace(one, reading=Reading(at(0), at(0), at(0), last_check_valid=valid))


@pytest.mark.parametrize(
    ("old", "new", "suspected"),
    [
        pytest.param(seen(instance("p")), seen(instance("p"), valid=False), {P}, id="no_longer_answers"),
        pytest.param(seen(instance("p"), valid=False), seen(instance("p"), valid=False), set(), id="known_to_be_dead"),
        pytest.param(None, seen(instance("p"), valid=False), set(), id="never_answered"),
        pytest.param(seen(ON["r1"]), seen(OFF["r1"]), {P}, id="replica_lost_its_source"),
        pytest.param(seen(OFF["r1"]), seen(OFF["r1"]), set(), id="had_lost_it_before"),
        pytest.param(
            seen(ON["r1"]), seen(instance("r1", "p", io=ThreadState.OFF)), set(), id="replica_was_stopped_by_somebody"
        ),
        pytest.param(
            seen(ON["r1"]), seen(instance("r1", "p", io=ThreadState.OFF, io_errno=1236)), {P}, id="replica_gave_up"
        ),
        pytest.param(seen(ON["r1"]), seen(instance("r1", "r2")), set(), id="replica_was_moved"),
        pytest.param(seen(ON["r1"]), seen(ON["r1"]), set(), id="all_is_well"),
    ],
)  # fmt: skip
def test_who_becomes_suspect(old: Instance | None, new: Instance, suspected: set[object]) -> None:
    assert suspects(old, new) == suspected

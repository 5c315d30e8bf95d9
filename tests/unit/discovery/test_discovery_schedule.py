from __future__ import annotations

import pytest

from services.discovery.schedule import Pace, Schedule
from tests.unit.discovery.fleets import key

S = 1_000_000_000
A, B = key("a"), key("b")


def schedule(jitter: float = 0.0) -> Schedule:
    return Schedule(Pace(5 * S, S, jitter, 15 * S))


def test_what_is_due_comes_out_once_soonest_first() -> None:
    found = schedule()
    found.at(A, 2 * S)
    found.at(B, 1 * S)
    assert found.next_due_ns() == 1 * S
    assert found.take_due(0) == []
    assert found.take_due(3 * S) == [B, A]
    assert found.take_due(3 * S) == []


def test_later_wish_replaces_the_earlier_one() -> None:
    found = schedule()
    found.at(A, 1 * S)
    found.at(A, 9 * S)
    assert found.take_due(5 * S) == []
    assert found.next_due_ns() == 9 * S


def test_removed_instance_is_never_due() -> None:
    found = schedule()
    found.at(A, 1 * S)
    found.remove(A)
    assert found.next_due_ns() is None
    assert found.take_due(5 * S) == []


@pytest.mark.parametrize(
    ("chance", "due_ns"),
    [
        pytest.param(0.0, int(4.5 * S), id="soonest"),
        pytest.param(0.5, 5 * S, id="middle"),
        pytest.param(1.0, int(5.5 * S), id="latest"),
    ],
)
def test_polls_are_jittered(chance: float, due_ns: int) -> None:
    found = schedule(jitter=0.1)
    found.after_probe(A, 0, answered=True, chance=chance)
    assert found.next_due_ns() == due_ns


def test_dead_instance_is_probed_soon_then_less_and_less_and_as_before_once_it_answers() -> None:
    found = schedule()
    waits = []
    for _ in range(9):
        found.after_probe(A, 0, answered=False, chance=0.5)
        waits.append((found.next_due_ns() or 0) / S)
    assert waits[:3] == [1.0, 1.5, 2.25]
    assert waits[-1] == 15.0
    found.after_probe(A, 0, answered=True, chance=0.5)
    assert found.next_due_ns() == 5 * S
    found.after_probe(A, 0, answered=False, chance=0.5)
    assert found.next_due_ns() == 1 * S


def test_back_off_never_ends_below_the_poll_period() -> None:
    found = Schedule(Pace(60 * S, S, 0.0, 15 * S))
    for _ in range(30):
        found.after_probe(A, 0, answered=False, chance=0.5)
    assert found.next_due_ns() == 60 * S


@pytest.mark.parametrize("answered", [True, False], ids=["answering", "dead"])
def test_primary_is_probed_every_second_for_ever(answered: bool) -> None:
    found = schedule()
    for round_ in range(20):
        found.after_probe(A, round_ * S, answered=answered, chance=0.5, primary=True)
        assert found.next_due_ns() == (round_ + 1) * S

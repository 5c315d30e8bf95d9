from __future__ import annotations

import pytest

from services.discovery.lane import Lane, Lanes, Place, Rank, place_of
from services.discovery.model import ProbeFailure
from tests.unit.discovery.fleets import REFUSED, TIMED_OUT, key


def lanes(size: int = 8) -> Lanes:
    return Lanes(dict.fromkeys(Lane, size))


@pytest.mark.parametrize("lane", [Lane.BURST, Lane.PRIMARY])
def test_full_lane_holds_up_no_other(lane: Lane) -> None:
    made = lanes()
    for number in range(200):
        made.ask(key(f"hung{number}"), Place(Lane.SUSPECT, Rank.LEAF))
        made.ask(key(f"frozen{number}"), Place(Lane.ROUTINE, Rank.LEAF))
    assert made.ask(key("p"), Place(lane, Rank.PRIMARY))


def test_last_places_of_a_lane_are_kept_for_the_better_ranks() -> None:
    made = lanes()
    taken = [made.ask(key(f"r{number}"), Place(Lane.BURST, Rank.LEAF)) for number in range(200)]
    assert sum(taken) == 6
    assert made.ask(key("s1"), Place(Lane.BURST, Rank.SOURCE))
    assert not made.ask(key("s2"), Place(Lane.BURST, Rank.SOURCE))
    assert made.ask(key("p"), Place(Lane.BURST, Rank.PRIMARY))


def test_free_place_goes_to_the_best_then_to_the_first() -> None:
    made = lanes(1)
    assert made.ask(key("a"), Place(Lane.BURST, Rank.LEAF))
    for name, rank in (("b", Rank.LEAF), ("c", Rank.LEAF), ("p", Rank.PRIMARY)):
        assert not made.ask(key(name), Place(Lane.BURST, rank))
    order = [made.leave(key(name)) for name in ("a", "p", "b", "c")]
    assert order == [[key("p")], [key("b")], [key("c")], []]


def test_who_waits_may_move_to_a_better_place_but_not_to_a_worse() -> None:
    made = lanes(1)
    for lane in (Lane.ROUTINE, Lane.SUSPECT):
        assert made.ask(key(lane.name), Place(lane, Rank.LEAF))
    assert not made.ask(key("r"), Place(Lane.ROUTINE, Rank.LEAF))
    assert not made.ask(key("r"), Place(Lane.SUSPECT, Rank.LEAF))
    assert made.leave(key("SUSPECT")) == []
    assert made.ask(key("r"), Place(Lane.BURST, Rank.LEAF))
    assert made.leave(key("ROUTINE")) == []


def test_who_gave_up_waiting_gets_no_place() -> None:
    made = lanes(1)
    made.ask(key("a"), Place(Lane.BURST, Rank.LEAF))
    made.ask(key("b"), Place(Lane.BURST, Rank.LEAF))
    assert made.leave(key("b")) == []
    assert made.leave(key("a")) == []
    assert made.ask(key("c"), Place(Lane.BURST, Rank.LEAF))


@pytest.mark.parametrize(
    ("rank", "failure", "place"),
    [
        pytest.param(Rank.PRIMARY, None, Place(Lane.PRIMARY, Rank.PRIMARY), id="primary"),
        pytest.param(Rank.PRIMARY, REFUSED, Place(Lane.PRIMARY, Rank.PRIMARY), id="dead_primary"),
        pytest.param(Rank.PRIMARY, TIMED_OUT, Place(Lane.PRIMARY, Rank.SOURCE), id="hung_primary"),
        pytest.param(Rank.LEAF, None, Place(Lane.ROUTINE, Rank.LEAF), id="leaf"),
        pytest.param(Rank.SOURCE, TIMED_OUT, Place(Lane.SUSPECT, Rank.LEAF), id="hung_source"),
    ],
)
def test_where_a_routine_probe_waits(rank: Rank, failure: ProbeFailure | None, place: Place) -> None:
    assert place_of(rank, failure) == place

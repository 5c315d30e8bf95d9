"""Rounds and bursts in virtual time, over a prober that answers from values."""

from __future__ import annotations

import asyncio

import pytest

from services.discovery.lane import Lane, Rank
from services.discovery.model import AppSettings, Delta, Limits, ProbeResult
from services.discovery.topology import Topology
from services.shared.topology.instance import Instance
from services.shared.topology.reading import FailureKind
from tests.unit.discovery.fleets import instance, key
from tests.unit.discovery.watched_fleet import Watched, run_virtually


def test_primarys_burst_takes_the_room_of_a_leafs_and_the_leafs_comes_later() -> None:
    async def scenario() -> None:
        fleet = (instance("p"), instance("r1", "p"), instance("r2", "p"))
        settings = AppSettings(seeds=tuple(one.key for one in fleet), poll_jitter=0, burst_limit=1)
        async with Watched(*fleet, settings=settings) as watched:
            for name in ("r1", "r2", "p"):
                del watched.prober.answers[key(name)]
                watched.rounds.suspect(key(name))
            await asyncio.sleep(0.05)
            assert watched.burst_upon("r2"), "the primary's burst, and only it, is upon all replicas"
            watched.prober.answers[key("p")] = fleet[0]
            await asyncio.sleep(1)
            assert all(watched.burst_upon(name) for name in ("p", "r1"))
            asked = [(one, place.rank) for one, _, place in watched.prober.asked if place.lane is Lane.BURST]
            assert (key("p"), Rank.PRIMARY) in asked
            await asyncio.sleep(4)
            assert watched.burst_upon("r2")

    run_virtually(scenario())


def test_suspicion_beyond_the_limit_is_followed_when_there_is_room() -> None:
    async def scenario() -> None:
        names = ("a", "b", "c", "d")
        fleet = tuple(instance(name, read_only=True) for name in names)
        settings = AppSettings(seeds=tuple(one.key for one in fleet), poll_jitter=0, burst_limit=1)
        async with Watched(*fleet, settings=settings) as watched:
            for name in names:
                watched.rounds.suspect(key(name))
            await asyncio.sleep(0.5)
            assert all(watched.burst_upon(name) for name in names)

    run_virtually(scenario())


def test_waiting_for_a_place_is_neither_slow_nor_hanging() -> None:
    async def scenario() -> None:
        async with Watched(instance("p"), settings=AppSettings(seeds=(key("p"),), poll_jitter=0)) as watched:
            watched.prober.queue_s[key("p")] = 1.4
            watched.rounds.probe_soon([key("p")])
            await asyncio.sleep(1.2)
            reading = watched.topology.instances[key("p")].reading
            assert reading.last_attempted_check_time == reading.last_seen_time

    run_virtually(scenario())


def test_probe_without_a_place_tells_nothing_and_is_made_again() -> None:
    async def scenario() -> None:
        async with Watched(instance("p")) as watched:
            before = watched.topology.instances[key("p")]
            watched.prober.no_place.add(key("p"))
            await asyncio.sleep(3.5)
            assert watched.topology.instances[key("p")] == before
            assert len(watched.prober.asked) >= 3
            watched.prober.no_place.clear()
            await asyncio.sleep(1.5)
            assert watched.topology.instances[key("p")].reading != before.reading

    run_virtually(scenario())


class _Stubborn(Topology):
    """A topology that cannot take what one server says."""

    def apply(self, result: ProbeResult) -> Delta:
        if isinstance(result.outcome, Instance) and result.key == key("r"):
            raise ValueError("odd")
        return super().apply(result)


def test_result_that_cannot_be_taken_ends_the_first_round_with_a_reason() -> None:
    async def scenario() -> None:
        async with Watched(instance("p"), instance("r", "p"), topology=_Stubborn(Limits())) as watched:
            assert watched.ready.is_set()
            reading = watched.topology.instances[key("r")].reading
            assert not reading.last_check_valid
            assert "odd" in reading.error
            assert watched.rounds.failures[key("r")].kind is FailureKind.NOT_UNDERSTOOD

    run_virtually(scenario())


def test_prober_that_breaks_does_not_end_the_watch() -> None:
    async def scenario() -> None:
        async with Watched(instance("p"), instance("r", "p")) as watched:
            watched.prober.broken.add(key("r"))
            await watched.rounds.probe_anew(key("r"))
            assert "RuntimeError" in watched.topology.instances[key("r")].reading.error
            await asyncio.sleep(1.5)
            assert key("p") in {one for one, _, _ in watched.prober.asked}

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("probed", "often"),
    [
        pytest.param(instance("a", "b", read_only=False), True, id="writable_with_a_channel"),
        pytest.param(instance("a", read_only=True), False, id="published_or_not_is_the_top"),
        pytest.param(instance("a", "b", read_only=True), False, id="replica"),
    ],
)
def test_primaries_get_the_primary_poll(probed: Instance, often: bool) -> None:
    async def scenario() -> None:
        async with Watched(probed, instance("b")) as watched:
            await asyncio.sleep(3.5)
            count = sum(1 for one, _, _ in watched.prober.asked if one == key("a"))
            assert (count >= 3) is often

    run_virtually(scenario())

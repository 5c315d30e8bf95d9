"""The use cases: following discovery, watching, what is said while nothing is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.analysis.analyst import TopologyEvent
from services.analysis.app import AnalysisApp
from services.analysis.kinds import FindingKind
from services.analysis.model import FindingChanges, Limits, Progress, TopologyDelta
from services.shared.runtime.errors import (
    ClusterUnknown,
    DependencyUnavailable,
    InstanceUnknown,
    InvalidField,
    WatcherTooSlow,
)
from services.shared.topology.key import InstanceKey
from services.shared.topology.operators import Downtime
from services.shared.topology.snapshot import Cluster
from tests.support.eventually import eventually
from tests.unit.analysis.builders import PRIMARY, START, State, a_primary, a_replica, a_topology, at

K = FindingKind
HEALTHY = a_topology(a_primary(), a_replica(1))
DEAD = a_topology(a_primary(answers=False), a_replica(1, State.FAILING))
DIES = TopologyDelta(changed_instances=(a_primary(answers=False),))


class FakeSource:
    """A `TopologySource` the test speaks through."""

    def __init__(self) -> None:
        self.streams = 0
        self.read_keys: list[InstanceKey] = []
        self._events: asyncio.Queue[TopologyEvent | None] = asyncio.Queue()

    def say(self, event: TopologyEvent) -> None:
        """Send an event down the stream."""
        self._events.put_nowait(event)

    def break_off(self) -> None:
        """Break the stream."""
        self._events.put_nowait(None)

    async def read(self, key: InstanceKey) -> None:
        """Remember what is to be read; the one of two fails."""
        self.read_keys.append(key)
        if len(self.read_keys) % 2:
            raise DependencyUnavailable("discovery", "cut by the test")

    async def watch(self) -> AsyncGenerator[TopologyEvent, None]:
        """Yield what the test says."""
        self.streams += 1
        while (event := await self._events.get()) is not None:
            yield event
        raise DependencyUnavailable("discovery", "cut by the test")


class FakeHealth:
    """A `Health` that remembers what it was told last."""

    def __init__(self) -> None:
        self.serving: bool | None = None

    async def report(self, *, serving: bool) -> None:
        """Remember."""
        self.serving = serving


class Desk:
    """An app with its surroundings."""

    def __init__(self, watcher_limit: int = 10) -> None:
        self.now = at(2)
        self.source = FakeSource()
        self.health = FakeHealth()
        self.app = AnalysisApp(self.source, self.health, self.clock, Limits(), watcher_limit)

    def clock(self) -> datetime:
        """Return the time the test has set."""
        return self.now

    def kinds(self) -> list[FindingKind]:
        """Return what is listed."""
        return [finding.kind for finding in self.app.list_findings("", 0, "")[0]]

    async def hears(self, event: TopologyEvent, *kinds: FindingKind) -> None:
        """Send an event and wait until these kinds are listed."""
        self.source.say(event)
        await eventually(lambda: self.kinds() == list(kinds), within=5, retry_on=DependencyUnavailable)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    running = asyncio.create_task(desk.app.run())
    yield desk
    running.cancel()
    await asyncio.wait([running])


async def test_nothing_is_claimed_before_the_first_snapshot(desk: Desk) -> None:
    with pytest.raises(DependencyUnavailable):
        desk.app.list_findings("", 0, "")
    with pytest.raises(DependencyUnavailable):
        desk.app.explain(PRIMARY)
    assert desk.app.staleness() is None
    desk.source.say(Progress(timedelta()))
    await eventually(lambda: desk.app.staleness() is not None, within=5)
    assert desk.health.serving is None
    with pytest.raises(DependencyUnavailable):
        desk.app.list_findings("", 0, "")


async def test_health_is_serving_only_while_the_stream_is_alive(desk: Desk) -> None:
    desk.source.say(HEALTHY)
    await eventually(lambda: desk.health.serving is True, within=5)
    desk.source.break_off()
    await eventually(lambda: desk.health.serving is False, within=5)
    desk.source.say(HEALTHY)
    await eventually(lambda: desk.health.serving is True, within=5)
    assert desk.source.streams == 2


async def test_a_broken_stream_changes_no_finding_and_shows_in_staleness(desk: Desk) -> None:
    await desk.hears(a_topology(a_primary(answers=False), a_replica(1)), K.UNREACHABLE_PRIMARY)
    assert desk.app.staleness() == timedelta(seconds=1)
    before = desk.app.list_findings("", 0, "")
    desk.source.break_off()
    await eventually(lambda: desk.health.serving is False, within=5)
    desk.now = at(3600)
    assert desk.app.list_findings("", 0, "") == before
    assert desk.app.staleness() == timedelta(seconds=3599)


async def test_a_healthy_primary_stays_healthy_while_the_stream_is_broken(desk: Desk) -> None:
    await desk.hears(HEALTHY)
    desk.source.break_off()
    await eventually(lambda: desk.health.serving is False, within=5)
    desk.now = at(3600)
    assert desk.kinds() == []


async def test_findings_keep_their_begin_over_a_reconnect(desk: Desk) -> None:
    await desk.hears(DEAD, K.DEAD_PRIMARY)
    desk.source.break_off()
    await eventually(lambda: desk.source.streams == 2, within=5)
    desk.now = at(100)
    await desk.hears(DEAD, K.DEAD_PRIMARY)
    assert desk.app.list_findings("", 0, "")[0][0].detect_time == at(2)


async def test_a_watch_begins_with_all_that_holds_and_goes_on_with_changes(desk: Desk) -> None:
    async with aclosing(desk.app.watch_findings()) as watch:
        first = asyncio.ensure_future(anext(watch))
        await desk.hears(DEAD, K.DEAD_PRIMARY)
        changes = await first
        assert changes is not None
        assert (changes.revision, [finding.kind for finding in changes.changed]) == (1, [K.DEAD_PRIMARY])
        desk.source.say(HEALTHY)
        assert await anext(watch) == FindingChanges(2, ended=(PRIMARY,))


async def test_a_quiet_watch_shows_progress(desk: Desk) -> None:
    await desk.hears(HEALTHY)
    async with aclosing(desk.app.watch_findings()) as watch:
        assert await anext(watch) == FindingChanges(0)
        async with asyncio.timeout(5):
            assert await anext(watch) is None


async def test_every_watcher_gets_every_change(desk: Desk) -> None:
    await desk.hears(HEALTHY)
    async with aclosing(desk.app.watch_findings()) as one, aclosing(desk.app.watch_findings()) as other:
        await anext(one)
        await anext(other)
        desk.source.say(DIES)
        assert await anext(one) == await anext(other) != FindingChanges(0)


async def test_a_slow_reader_is_dropped_and_others_are_not() -> None:
    desk = Desk(watcher_limit=2)
    running = asyncio.create_task(desk.app.run())
    await desk.hears(HEALTHY)
    async with aclosing(desk.app.watch_findings()) as slow, aclosing(desk.app.watch_findings()) as fast:
        await anext(slow)
        await anext(fast)
        for event in (DIES, HEALTHY, DIES):
            desk.source.say(event)
            assert await anext(fast) is not None
        with pytest.raises(WatcherTooSlow) as dropped:
            await anext(slow)
        assert dropped.value.pending == 2
        desk.source.say(HEALTHY)
        assert await anext(fast) is not None
    running.cancel()
    await asyncio.wait([running])


async def test_stopping_ends_watches(desk: Desk) -> None:
    await desk.hears(HEALTHY)
    async with aclosing(desk.app.watch_findings()) as watch:
        await anext(watch)
        desk.app.end_watches()
        assert [changes async for changes in watch] == []
    assert [changes async for changes in desk.app.watch_findings()] == [FindingChanges(0)]


async def test_stopping_ends_a_watch_that_waits_for_the_first_snapshot(desk: Desk) -> None:
    watch = desk.app.watch_findings()
    first = asyncio.ensure_future(anext(watch, "ended"))
    desk.app.end_watches()
    assert await first == "ended"


async def test_the_end_of_a_downtime_is_noticed_without_an_event(desk: Desk) -> None:
    desk.now = START
    dead = replace(a_primary(answers=False), downtime=Downtime("ops", "disk", START + timedelta(milliseconds=20)))
    await desk.hears(a_topology(dead, a_replica(1, State.FAILING)), K.DEAD_PRIMARY)
    assert desk.app.list_findings("", 0, "")[0][0].downtimed
    desk.now = at(1)
    await eventually(lambda: not desk.app.list_findings("", 0, "")[0][0].downtimed, within=5)


async def test_lists_and_explains_by_cluster(desk: Desk) -> None:
    await desk.hears(DEAD, K.DEAD_PRIMARY)
    for name in ("c1", "orders"):
        assert [finding.instance for finding in desk.app.list_findings(name, 0, "")[0]] == [PRIMARY]
        instances = [explanation.finding.instance for explanation in desk.app.explain(name)]
        assert instances == [PRIMARY, InstanceKey("db1", 3306)]


async def test_refuses_what_it_does_not_know(desk: Desk) -> None:
    await desk.hears(DEAD, K.DEAD_PRIMARY)
    with pytest.raises(ClusterUnknown):
        desk.app.list_findings("ord", 0, "")
    with pytest.raises(ClusterUnknown):
        desk.app.explain("ord")
    with pytest.raises(InstanceUnknown):
        desk.app.explain(InstanceKey("db9", 3306))
    with pytest.raises(InvalidField, match="subject"):
        desk.app.explain(None)


async def test_refuses_an_alias_of_two_clusters(desk: Desk) -> None:
    twins = {"c1": Cluster("c1", "orders"), "c2": Cluster("c2", "orders")}
    await desk.hears(replace(DEAD, clusters=twins), K.DEAD_PRIMARY)
    with pytest.raises(InvalidField, match="alias of 2 clusters"):
        desk.app.list_findings("orders", 0, "")
    assert len(desk.app.list_findings("c1", 0, "")[0]) == 1


async def test_changes_are_listed_page_by_page_newest_first(desk: Desk) -> None:
    await desk.hears(HEALTHY)
    for event, *kinds in ((DIES, K.UNREACHABLE_PRIMARY), (HEALTHY,), (DIES, K.UNREACHABLE_PRIMARY)):
        assert not isinstance(event, FindingKind)
        await desk.hears(event, *kinds)
    first, token = desk.app.list_changes("orders", 2, "")
    rest, end = desk.app.list_changes("orders", 2, token)
    assert [change.number for change in (*first, *rest)] == [3, 2, 1]
    assert end == ""
    with pytest.raises(ClusterUnknown):
        desk.app.list_changes("ord", 0, "")


async def test_a_full_pass_finds_nothing_to_set_right(desk: Desk) -> None:
    await desk.hears(DEAD, K.DEAD_PRIMARY)
    desk.app.prove([PRIMARY, InstanceKey("db1", 3306)])
    assert desk.app.differences == 0


async def test_what_a_standing_finding_rests_on_is_read_again(desk: Desk) -> None:
    await desk.hears(a_topology(a_primary(answers=False), a_replica(1)), K.UNREACHABLE_PRIMARY)
    desk.now = at(10)
    await eventually(lambda: desk.source.read_keys == [PRIMARY, InstanceKey("db1", 3306)], within=10)
    desk.now = at(11)
    await eventually(lambda: len(desk.source.read_keys) == 4, within=10)
    await desk.hears(HEALTHY)

"""The use cases: feeds discovery's events to the analyst, hands findings to whoever asks or watches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Final, NoReturn

from services.analysis.advice import Advice
from services.analysis.analyst import Analyst
from services.analysis.changelog import Change
from services.analysis.emergency import Emergencies
from services.analysis.model import Explanation, Finding, FindingChanges, Limits
from services.analysis.ports import Clock, Health, TopologySource
from services.shared.runtime.errors import ClusterUnknown, DependencyUnavailable, InstanceUnknown, InvalidField
from services.shared.runtime.paging import page_of
from services.shared.runtime.watching import WatchEnded, Watchers
from services.shared.topology.key import InstanceKey

log = logging.getLogger(__name__)

ChangePage = tuple[Sequence[Change], str]

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0
PROGRESS_PERIOD_S: Final = 1.0
READ_AGAIN_PERIOD_S: Final = 0.5
READS_AT_ONCE: Final = 32
"""Readings that are asked for and have not come; a fleet that fails as a whole must not storm discovery."""
FULL_PASS_PERIOD_S: Final = 1.0
FULL_PASS_SLICE: Final = 200
"""Instances judged anew before others get their turn: a few milliseconds."""


class AnalysisApp:
    """Keeps findings up to date while `run` runs, and answers questions about them.

    While discovery's stream is broken the findings stay as they are: analysis sees nothing then, which is no evidence
    against any server. Health and `staleness` say so.
    """

    def __init__(
        self, source: TopologySource, health: Health, clock: Clock, limits: Limits, watcher_limit: int
    ) -> None:
        """Make an app that knows nothing yet.

        Args:
            source: Where topologies come from.
            health: Told whenever the evidence begins or ceases to flow.
            clock: The wall clock.
            limits: Where the rules draw their lines.
            watcher_limit: Changes a watcher may leave unread before it is dropped.
        """
        self._source = source
        self._health = health
        self._clock = clock
        self._analyst = Analyst(limits)
        self._emergencies = Emergencies()
        self._watchers: Watchers[FindingChanges] = Watchers(watcher_limit)
        self._synced = asyncio.Event()
        self._changed = asyncio.Event()
        self._alive: bool | None = None  # None: discovery was never tried.
        self.differences = 0
        """Findings that a full pass had to set right since the start: each is a mistake in what is judged again."""

    async def run(self) -> NoReturn:
        """Follow discovery for ever; ends only by being cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._keep_time())
            tasks.create_task(self._prove())
            tasks.create_task(self._read_again(tasks))
        raise AssertionError("all tasks run for ever")

    async def _follow(self) -> NoReturn:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                async with aclosing(self._source.watch()) as events:
                    async for event in events:
                        self._publish(self._analyst.take(event, self._clock()))
                        await self._note_alive()
                        pause_s = FIRST_PAUSE_S
                problem = "the stream ended"
            except DependencyUnavailable as error:
                problem = str(error)
            await self._note_lost(problem)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _note_lost(self, problem: str) -> None:
        if self._alive is False:
            return
        self._alive = False
        log.warning("analysis.discovery_lost", extra={"problem": problem})
        await self._health.report(serving=False)

    async def _note_alive(self) -> None:
        if self._alive or not self._analyst.synced:
            return
        self._alive = True
        self._synced.set()
        log.info("analysis.discovery_followed", extra={"findings": len(self._analyst.findings())})
        await self._health.report(serving=True)

    async def _keep_time(self) -> NoReturn:
        """Judge again when a downtime ends."""
        while True:
            tick = self._analyst.next_tick()
            delay_s = None if tick is None else max(0.0, (tick - self._clock()).total_seconds())
            try:
                async with asyncio.timeout(delay_s):
                    await self._changed.wait()
                self._changed.clear()
            except TimeoutError:
                self._publish(self._analyst.tick(self._clock()))

    async def _read_again(self, tasks: asyncio.TaskGroup) -> NoReturn:
        """Have read what would make standing verdicts better informed."""
        running: set[asyncio.Task[None]] = set()
        while True:
            await asyncio.sleep(READ_AGAIN_PERIOD_S)
            if not self._alive:
                continue
            room = READS_AT_ONCE - len(running)
            for key in self._emergencies.due(self._analyst.findings(), self._clock(), room):
                task = tasks.create_task(self._read(key))
                running.add(task)
                task.add_done_callback(running.discard)

    async def _read(self, key: InstanceKey) -> None:
        try:
            await self._source.read(key)
        except DependencyUnavailable as error:
            log.debug("analysis.not_read", extra={"instance": str(key), "problem": str(error)})

    async def _prove(self) -> NoReturn:
        """Judge everything anew once a second, and set right what judging changes alone got wrong."""
        while True:
            await asyncio.sleep(FULL_PASS_PERIOD_S)
            keys = self._analyst.known()
            for begin in range(0, len(keys), FULL_PASS_SLICE):
                self.prove(keys[begin : begin + FULL_PASS_SLICE])
                await asyncio.sleep(0)

    def prove(self, keys: Sequence[InstanceKey]) -> None:
        """Judge these instances anew; publish and complain when that finds anything else."""
        now = self._clock()
        self._publish(self._analyst.tick(now))
        wrong = self._analyst.differences(now, keys)
        if not wrong:
            return
        self.differences += len(wrong)
        log.error("analysis.differs", extra={"instances": [str(key) for key in wrong]})
        self._publish(self._analyst.judge_again(wrong, now))

    def _publish(self, changes: FindingChanges | None) -> None:
        self._changed.set()  # What time alone decides may have become due earlier.
        if changes is None:
            return
        self._watchers.publish(changes)
        for finding in changes.changed:
            log.info("finding.changed", extra=_fields(finding))
        for key in changes.ended:
            log.info("finding.ended", extra={"instance": str(key)})

    def staleness(self) -> timedelta | None:
        """Return how old the newest evidence is; None when there is none."""
        if self._analyst.evidence_time is None:
            return None
        return max(timedelta(), self._clock() - self._analyst.evidence_time)

    def list_findings(self, cluster: str, page_size: int, page_token: str) -> tuple[Sequence[Finding], str]:
        """Return one page of the findings that hold, and the token of the next page.

        Args:
            cluster: Id or exact alias; empty for all.
            page_size: 0 takes the default.
            page_token: Empty to begin.

        Raises:
            DependencyUnavailable: No snapshot yet: an empty list would say that all is well.
            ClusterUnknown: No cluster of this id or alias.
            InvalidField: A malformed size or token, or an alias of several clusters.
        """
        self._require_synced()
        chosen = (self._cluster_id(cluster),) if cluster else None
        return page_of(self._analyst.findings(chosen), lambda finding: finding.place, page_size, page_token)

    def list_changes(self, subject: InstanceKey | str | None, page_size: int, page_token: str) -> ChangePage:
        """Return one page of the changes of findings, newest first, and the token of the next page.

        Args:
            subject: An instance, the id or exact alias of a cluster, or None for all.
            page_size: 0 takes the default.
            page_token: Empty to begin.

        Raises:
            DependencyUnavailable: No snapshot yet.
            ClusterUnknown: No cluster of this id or alias.
            InvalidField: A malformed size or token, or an alias of several clusters.
        """
        self._require_synced()
        instance = subject if isinstance(subject, InstanceKey) else None
        cluster_id = self._cluster_id(subject) if isinstance(subject, str) else None
        changes = self._analyst.changelog.changes(cluster_id, instance)
        return page_of(changes, lambda change: (-change.number,), page_size, page_token)

    def list_advice(self, cluster: str, page_size: int, page_token: str) -> tuple[Sequence[Advice], str]:
        """Return one page of what is weak beyond the tables, and the token of the next page; as `list_findings`."""
        self._require_synced()
        advice = self._analyst.advice((self._cluster_id(cluster),) if cluster else None)
        order = {each: number for number, each in enumerate(advice)}
        return page_of(advice, lambda each: (order[each],), page_size, page_token)

    async def watch_findings(self) -> AsyncGenerator[FindingChanges | None, None]:
        """Yield all findings that hold, once there is a snapshot, then every change, and None each quiet second.

        Ends when the service stops.

        Raises:
            WatcherTooSlow: The reader lost changes.
        """
        await self._synced.wait()
        if not self._analyst.synced:
            return
        with self._watchers.join() as watcher, suppress(WatchEnded):
            yield FindingChanges(self._analyst.revision, self._analyst.findings())
            while True:
                yield await watcher.next(PROGRESS_PERIOD_S)

    def end_watches(self) -> None:
        """End every watch, because the service stops; a stream would hold up a graceful stop for ever."""
        self._watchers.end()
        self._synced.set()

    @property
    def revision(self) -> int:
        """Revision of the findings."""
        return self._analyst.revision

    def explain(self, subject: InstanceKey | str | None) -> tuple[Explanation, ...]:
        """Return why an instance, or every analysed instance of a cluster, has the finding it has, by endpoint.

        Args:
            subject: An instance, or the id or exact alias of a cluster.

        Raises:
            InvalidField: No subject, or an alias of several clusters.
            DependencyUnavailable: No snapshot yet.
            InstanceUnknown: No instance at this endpoint.
            ClusterUnknown: No cluster of this id or alias.
        """
        if subject is None:
            raise InvalidField("subject", "is required: a cluster or an instance")
        self._require_synced()
        if isinstance(subject, InstanceKey):
            return (self._explain_instance(subject),)
        return tuple(map(self._explain_instance, self._analyst.analysed_members(self._cluster_id(subject))))

    def _explain_instance(self, key: InstanceKey) -> Explanation:
        explanation = self._analyst.explain(key, self._clock())
        if explanation is None:
            raise InstanceUnknown(str(key))
        return explanation

    def _cluster_id(self, name: str) -> str:
        match self._analyst.clusters_named(name):
            case ():
                raise ClusterUnknown(name)
            case (cluster_id,):
                return cluster_id
            case several:
                raise InvalidField("cluster", f"is the alias of {len(several)} clusters; give the id: {several}")

    def _require_synced(self) -> None:
        if not self._analyst.synced:
            raise DependencyUnavailable("discovery", "it has not told of any topology yet")


def _fields(finding: Finding) -> dict[str, object]:
    return {
        "instance": str(finding.instance),
        "cluster": finding.cluster_id,
        "kind": finding.kind.name,
        "warnings": [warning.name for warning in finding.warnings],
        "replicas": finding.counts.replicas,
        "valid": finding.counts.valid,
        "replicating": finding.counts.replicating,
        "actionable": finding.actionable,
    }

"""The use cases: decides what to do about what is known, starts recoveries and takes over those of dead leaders.

`consider` is called whenever something changed; it looks at everything and starts what may be started. It never waits:
each recovery runs in a task of its own, at most one per cluster.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, NoReturn, Protocol

from services.recovery.audit import Audit
from services.recovery.directory import found_primaries, returned_primaries, why_superseded
from services.recovery.gates import RECOVERABLE, Circumstances, first_blocker
from services.recovery.lease import LeaseGuard
from services.recovery.machine import RecoveryMachine
from services.recovery.model import (
    AUTOMATIC,
    Blocked,
    Blocker,
    FailoverPlan,
    Finding,
    LeaseLost,
    NoActionableFinding,
    NoPromotionCandidate,
    ObserveOnly,
    PhaseTiming,
    Policy,
    Primary,
    Record,
    Recovery,
    RecoveryForbidden,
    RecoveryKind,
    RecoveryOpen,
    RecoveryUnknown,
)
from services.recovery.planner import plan_failover
from services.recovery.planning import kind_if_dead, plan
from services.recovery.policy import DEFAULT_POLICY, PlanningPolicy
from services.recovery.ports import Clock, Directory, Executor, Journal, JournalRefused, JournalUnavailable
from services.recovery.run import RecoveryRun
from services.recovery.situation import Situation, with_readings
from services.recovery.work import RecoveryWork
from services.recovery.world import World
from services.shared.runtime.errors import (
    DependencyUnavailable,
    InstanceUnknown,
    NoLeader,
    NotLeader,
    StaleFencingToken,
)
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot import Cluster, TopologySnapshot

log = logging.getLogger(__name__)

_TICK_S: Final = 1.0
_FORMER_AGAIN: Final = timedelta(seconds=30)


class Lease(Protocol):
    """The lease of this process."""

    @property
    def live(self) -> bool:
        """Whether it is held and has not run out."""
        ...

    @property
    def draining(self) -> bool:
        """Whether leadership is being handed over: what runs may end its step, nothing else begins (section 8.1)."""
        ...

    def give_back(self) -> None:
        """Give it back, soon; harmless when it is not held."""

    def guard(self) -> LeaseGuard | None:
        """Return a guard that pins it; None when it is not live."""
        ...


class RecoveryApp:
    """Acts on findings while this node holds the lease; answers questions always."""

    def __init__(
        self,
        world: World,
        lease: Lease,
        journal: Journal,
        directory: Directory,
        executor: Executor,
        clock: Clock,
        *,
        node: str,
        policy: Policy,
        block_period: timedelta,
        drain_timeout: timedelta,
        audit: Audit,
        planning: PlanningPolicy = DEFAULT_POLICY,
    ) -> None:
        """Put the parts together.

        Args:
            world: What this node knows; fed by others, who call `consider` afterwards.
            lease: The lease `recovery`.
            journal: Records of recoveries.
            directory: The directory of primaries.
            executor: Changes servers.
            clock: The time.
            node: Name of this node.
            policy: What may be done at all.
            block_period: Anti-flapping.
            drain_timeout: Default for how long a choice may take to apply what it received.
            audit: Writes down what had to stop in the middle.
            planning: What steers the choice of a successor.
        """
        self.world = world
        self._lease = lease
        self._journal = journal
        self._directory = directory
        self._executor = executor
        self._clock = clock
        self._node = node
        self._policy = policy
        self._block_period = block_period
        self._drain_timeout = drain_timeout
        self._audit = audit
        self._planning = planning
        self._work = RecoveryWork(self._consider_soon)
        self._since: dict[tuple[InstanceKey, Blocker], datetime] = {}
        self._forbidden: dict[tuple[str, InstanceKey], tuple[int, RecoveryForbidden]] = {}
        self._changed = asyncio.Event()
        self._records_changed = asyncio.Event()

    # What happens by itself.

    async def run(self) -> NoReturn:
        """Act until cancelled."""
        async with self._work:
            while True:
                self._consider()
                try:
                    async with asyncio.timeout(_TICK_S):  # Block periods end without anybody telling.
                        await self._changed.wait()
                except TimeoutError:
                    continue
                self._changed.clear()
        raise AssertionError("the loop ends by being cancelled only")

    def consider(self) -> None:
        """Look at everything again, soon: something that this node knows has changed."""
        self._records_changed.set()
        self._records_changed = asyncio.Event()
        self._consider_soon()

    def _consider_soon(self) -> None:
        self._changed.set()

    def _consider(self) -> None:
        self._note_blockers()
        if self._lease.draining and self._work.idle:
            self._lease.give_back()
        if not self._may_act or not self.world.ready:
            return
        if self._policy is Policy.ACT:
            self._act()
        busy = {each.recovery.cluster_id for each in self.world.records.values() if each.open}
        for cluster, instance in found_primaries(self.world.snapshot, self.world.primaries, busy):
            self._work.start(cluster.cluster_id, partial(self._publish, cluster, instance))

    def _act(self) -> None:
        """Begin whatever changes servers and may be begun."""
        for record in [each for each in self.world.records.values() if each.open]:
            self._work.start(record.recovery.cluster_id, partial(self._take_over, record))
        for finding in list(self.world.findings.values()):
            if self._blocker(finding) is None:
                self._work.start(finding.cluster_id, partial(self._recover, finding))
        for primary, instance in returned_primaries(self.world.snapshot, self.world.primaries):
            if self._may_fence(instance) and self._forbids(primary.cluster_id, instance.key) is None:
                self._work.start(primary.cluster_id, partial(self._fence, primary, instance))

    @property
    def _may_act(self) -> bool:
        return self._lease.live and not self._lease.draining and self.world.leadership.local

    def _may_fence(self, instance: Instance) -> bool:
        """Return whether a former primary that takes writes is dealt with now, not again and again."""
        earlier = (
            each.close_time for each in self.world.records.values()
            if each.recovery.kind is RecoveryKind.FORMER_PRIMARY and each.recovery.failed == instance.key
        )  # fmt: skip
        last = max((time for time in earlier if time is not None), default=None)
        return instance.downtime is None and (last is None or self._clock.now() > last + _FORMER_AGAIN)

    async def _recover(self, finding: Finding) -> None:
        recovery = self._new_recovery(finding, str(uuid.uuid4()), AUTOMATIC)
        await self._carry_through(recovery, self._block_period, self._drain_timeout)

    async def _fence(self, primary: Primary, instance: Instance) -> None:
        now = self._clock.now()
        recovery = Recovery(
            recovery_id=str(uuid.uuid4()),
            kind=RecoveryKind.FORMER_PRIMARY,
            cluster_id=primary.cluster_id,
            failed=instance.key,
            cluster_alias=primary.alias,
            failed_server_uuid=instance.server_uuid,
            successor=primary.endpoint,
            successor_server_uuid=primary.server_uuid,
            detect_time=now,
            start_time=now,
            node=self._node,
        )
        await self._carry_through(recovery, timedelta(), self._drain_timeout)

    async def _carry_through(
        self,
        recovery: Recovery,
        block_period: timedelta,
        drain_timeout: timedelta,
        registered: asyncio.Future[Recovery] | None = None,
    ) -> None:
        guard = self._lease.guard()
        if guard is None:
            raise LeaseLost("the lease ran out before the recovery was begun")
        machine = RecoveryMachine(replace(recovery, fencing_token=guard.token), drain_timeout, self._planning)
        run = self._new_run(machine, guard)
        agreements = self.world.agreements
        try:
            turn = await run.register(block_period)
        except RecoveryForbidden as forbidden:
            if recovery.started_by == AUTOMATIC:  # Asked for again it is tried again.
                self._forbidden[recovery.cluster_id, recovery.failed] = agreements, forbidden
            raise
        if registered is not None and not registered.done():
            registered.set_result(machine.recovery)
        self._note_closed(await run.finish(turn))

    def _forbids(self, cluster_id: str, instance: InstanceKey) -> RecoveryForbidden | None:
        """Return what the log refused last, unless what the group has agreed on has changed since."""
        agreements, forbidden = self._forbidden.get((cluster_id, instance), (-1, None))
        return forbidden if agreements == self.world.agreements else None

    async def _take_over(self, record: Record) -> None:
        """Adopt an open recovery and go on with it."""
        guard = self._lease.guard()
        if guard is None:
            return
        adopted = await self._journal.adopt(record.recovery.recovery_id, guard.token)
        recovery = replace(adopted.recovery, fencing_token=guard.token, node=self._node)
        run = self._new_run(RecoveryMachine(recovery, self._drain_timeout, self._planning), guard)
        self._note_closed(await run.finish(await run.resume()))

    def _new_run(self, machine: RecoveryMachine, guard: LeaseGuard) -> RecoveryRun:
        return RecoveryRun(
            machine,
            guard,
            self._journal,
            self._directory,
            self._executor,
            self._clock,
            lambda: self.world.snapshot,
            self._audit,
        )

    def _new_recovery(self, finding: Finding, recovery_id: str, started_by: str) -> Recovery:
        now = self._clock.now()
        failed = self.world.snapshot.instances.get(finding.instance)
        return Recovery(
            recovery_id=recovery_id,
            kind=RecoveryKind.DEAD_PRIMARY,
            cluster_id=finding.cluster_id,
            failed=finding.instance,
            cluster_alias=finding.cluster_alias,
            failed_server_uuid=finding.server_uuid,
            orchestrator_code=finding.orchestrator_code,
            started_by=started_by,
            detect_time=finding.detect_time,
            start_time=now,
            node=self._node,
            phases=phases_until_start(finding, failed, now),
        )

    def _note_closed(self, record: Record) -> None:
        """Count a recovery as closed before its record comes back by the journal's stream."""
        self.world.note_record(record)
        self.consider()

    async def _publish(self, cluster: Cluster, instance: Instance) -> None:
        guard = self._lease.guard()
        if guard is None:
            return
        entry = Primary(cluster.cluster_id, cluster.alias, instance.key, instance.server_uuid, epoch=0)
        request_id = str(uuid.uuid5(uuid.UUID(cluster.cluster_id), instance.server_uuid))
        published = await self._directory.publish(request_id, guard.token, entry, "")
        self.world.change_primaries([published], first=False)
        log.info("recovery.primary_published", extra={"cluster": cluster.cluster_id, "instance": str(instance.key)})

    # What people ask for.

    async def start(
        self, failed: InstanceKey, request_id: str, drain_timeout: timedelta | None, requested_by: str
    ) -> Recovery:
        """Start the recovery of an instance on request; return it as registered.

        Raises:
            NotLeader, NoLeader, ObserveOnly, NoActionableFinding, NoPromotionCandidate, RecoveryOpen: See their names.
            DependencyUnavailable: The lease or the journal is not available at the moment.
        """
        known = self.world.records.get(request_id) if request_id else None
        if known is not None:
            return known.recovery
        self._require_lead()
        if self._policy is not Policy.ACT:
            raise ObserveOnly()
        finding = self._recoverable(failed)
        recovery = self._new_recovery(finding, request_id or str(uuid.uuid4()), requested_by or "operator")
        registered: asyncio.Future[Recovery] = asyncio.get_running_loop().create_future()
        timeout = drain_timeout or self._drain_timeout
        work = partial(self._carry_through, recovery, timedelta(), timeout, registered)
        if not self._work.start(finding.cluster_id, work, registered, even_if_resting=True):
            running = self.world.open_record(finding.cluster_id)
            raise RecoveryOpen(
                finding.cluster_id, running.recovery.recovery_id if running else "about to be registered"
            )
        try:
            return await registered
        except (LeaseLost, JournalUnavailable, JournalRefused, StaleFencingToken) as error:
            raise DependencyUnavailable("consensus", str(error)) from None

    def _require_lead(self) -> None:
        if self._may_act:
            return
        leader = self.world.leadership
        if leader.leader and not leader.local:
            raise NotLeader(leader.leader, leader.recovery_endpoint)
        raise NoLeader()

    def _recoverable(self, failed: InstanceKey) -> Finding:
        finding = self.world.findings.get(failed)
        if finding is None or not finding.actionable or finding.kind not in RECOVERABLE:
            raise NoActionableFinding(str(failed))
        superseded = why_superseded(finding, self.world.snapshot, self.world.primaries)
        if superseded:
            raise NoActionableFinding(str(failed), superseded)
        record = self.world.open_record(finding.cluster_id)
        if record is not None:
            raise RecoveryOpen(finding.cluster_id, record.recovery.recovery_id)
        planned = plan_failover(Situation(self.world.snapshot, failed, self._clock.now(), self._planning))
        if planned.chosen is None:
            raise NoPromotionCandidate(str(failed), {str(each.instance): each.reason for each in planned.candidates})
        return finding

    async def plan(
        self, failed: InstanceKey, kind: RecoveryKind | None = None, target: InstanceKey | None = None
    ) -> FailoverPlan:
        """Plan what a recovery of an instance would do now, from positions read anew; changes nothing.

        Args:
            failed: The instance.
            kind: What to plan; None: what its place in the topology suggests, as if it were dead.
            target: Who is to take over; None: whoever is best.

        Raises:
            InstanceUnknown: Discovery does not know it.
        """
        snapshot = self.world.snapshot
        known = snapshot.instances.get(failed)
        if known is None:
            raise InstanceUnknown(str(failed))
        # The primary first: what it executes afterwards may be missing at the replicas, never the other way round.
        primary = await self._executor.read(known)
        others = await asyncio.gather(*(self._executor.read(each) for each in _concerned(snapshot, known)))
        primaries = (primary,) if primary.reading.last_check_valid else ()
        current = with_readings(snapshot, (*primaries, *others))
        situation = Situation(current, failed, self._clock.now(), self._planning, target=target, any_target=True)
        return plan(replace(situation, kind=kind or kind_if_dead(situation)))

    def recoveries(self, cluster: str) -> list[Recovery]:
        """Return the recoveries of a cluster (id or exact alias; empty: of all), newest first.

        Raises:
            ClusterUnknown: There is no such cluster.
        """
        cluster_id = self.world.cluster_of(cluster)
        records = sorted(self.world.records.values(), key=_age, reverse=True)
        return [each.recovery for each in records if cluster_id in ("", each.recovery.cluster_id)]

    def recovery(self, recovery_id: str) -> Recovery:
        """Return one recovery.

        Raises:
            RecoveryUnknown: No record has this id.
        """
        record = self.world.records.get(recovery_id)
        if record is None:
            raise RecoveryUnknown(recovery_id)
        return record.recovery

    async def watch(self, recovery_id: str) -> AsyncIterator[tuple[int, Recovery | None]]:
        """Yield a recovery with its revision at each change until it has ended; None for a sign of life.

        Raises:
            RecoveryUnknown: No record has this id.
        """
        seen = -1
        while True:
            changed = self._records_changed
            record = self.world.records.get(recovery_id)
            if record is None:
                raise RecoveryUnknown(recovery_id)
            if record.log_index > seen or not record.open:
                seen = record.log_index
                yield seen, record.recovery
            if not record.open:
                return
            try:
                async with asyncio.timeout(_TICK_S):
                    await changed.wait()
            except TimeoutError:
                yield seen, None

    def blocked(self, cluster_id: str) -> list[Blocked]:
        """Return every finding that nothing is done about, with what stands in the way; by cluster, then endpoint."""
        found = self._note_blockers()
        return [each for each in found if cluster_id in ("", each.cluster_id)]

    def _note_blockers(self) -> list[Blocked]:
        """Work out what is blocked, and remember since when."""
        now = self._clock.now()
        found = []
        for finding in self.world.findings.values():
            if not finding.calls_for_recovery:
                continue
            record = self.world.open_record(finding.cluster_id)
            if record is not None and record.recovery.failed == finding.instance:
                continue  # Something is done about it right now.
            blocked = self._blocker(finding)
            if blocked is not None:
                found.append(blocked)
        self._since = {
            (each.instance, each.blocker): self._since.get((each.instance, each.blocker), now) for each in found
        }
        dated = (replace(each, since_time=self._since[each.instance, each.blocker]) for each in found)
        return sorted(dated, key=lambda each: (each.cluster_id, each.instance))

    def _blocker(self, finding: Finding) -> Blocked | None:
        seen = Circumstances(
            leadership=self.world.leadership,
            lease_live=self._lease.live,
            policy=self._policy,
            records=tuple(self.world.records.values()),
            block_period=self._block_period,
            now=self._clock.now(),
            superseded=why_superseded(finding, self.world.snapshot, self.world.primaries),
            forbidden=self._forbids(finding.cluster_id, finding.instance),
        )
        blocked = first_blocker(finding, seen)
        if blocked is not None:
            return blocked
        planned = plan_failover(Situation(self.world.snapshot, finding.instance, seen.now, self._planning))
        if planned.chosen is not None:
            return None
        return Blocked(
            finding.cluster_id,
            finding.instance,
            finding.orchestrator_code,
            Blocker.NO_PROMOTION_CANDIDATE,
            planned.refusal_reason,
        )


def _concerned(snapshot: TopologySnapshot, failed: Instance) -> tuple[Instance, ...]:
    """Return whom a plan looks at beside the failed instance: its replicas, its sources, and who reads from those."""
    sources = [snapshot.instances[key] for key in failed.sources if key in snapshot.instances]
    siblings = [each for source in sources for each in snapshot.direct_replicas(source.key)]
    found = {each.key: each for each in (*snapshot.direct_replicas(failed.key), *sources, *siblings)}
    found.pop(failed.key, None)
    return tuple(found[key] for key in sorted(found))


def phases_until_start(finding: Finding, failed: Instance | None, now: datetime) -> tuple[PhaseTiming, ...]:
    """Return the phases before a recovery begins, as far as the finding's evidence tells them.

    `confirm` lasts from the last probe of the failed instance to the newest evidence, `decide` from there to now. What
    came before the last probe (`suspect`) is not in the evidence.
    """
    evidence = finding.evidence_time
    if evidence is None:
        return ()
    probed = failed.reading.last_checked_time if failed is not None else None
    confirm = max(evidence - probed, timedelta()) if probed is not None else timedelta()
    return PhaseTiming("confirm", confirm), PhaseTiming("decide", max(now - evidence, timedelta()))


def _age(record: Record) -> tuple[datetime, str]:
    earliest = datetime.min.replace(tzinfo=UTC)
    return record.register_time or record.recovery.start_time or earliest, record.recovery.recovery_id

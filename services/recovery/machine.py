"""A recovery as a state machine of steps, without I/O: takes what became of steps, answers what follows.

A dead primary goes through

    FENCE + FREEZE -> CHOOSE -> DRAIN -> PROMOTE -> PUBLISH -> REPOINT (all at once) -> VERIFY -> closed

with CATCH_UP after DRAIN where the successor is not the replica that has most and so fetches the rest from that one;
and a former primary through FENCE alone. Every answer is a `Turn`: steps to write to the journal in one entry, then
commands to carry out, which may start only when that entry is committed (rule F6). The end of one step and the intents
of the next share an entry. Invariants:

- A command that changes a server is handed out only together with, or after, the intent of its step.
- Once CHOOSE is written, the choice stays, over any number of leaders; only a choice that died, or did not catch up,
  before its PROMOTE began is replaced.
- Repeating a command is harmless, because the executor looks first. So a new leader marks what it finds running as
  unknown and appends the steps that are left, with new numbers: the history tells who did what.
- Nothing is compensated. A recovery that fails before PROMOTE leaves the replicas frozen, and its last step names the
  statements that let them go on.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from services.recovery import statements
from services.recovery.ledger import Ledger
from services.recovery.model import (
    Loss,
    LossState,
    PromotionCandidate,
    Recovery,
    RecoveryKind,
    RecoveryState,
    Step,
    StepKind,
    StepState,
)
from services.recovery.plan_steps import (
    catch_up_step,
    drain_step,
    fence_step,
    freeze_steps,
    promote_step,
    repoint_step,
)
from services.recovery.planner import plan_failover
from services.recovery.policy import DEFAULT_POLICY, PlanningPolicy
from services.recovery.positions import executed, missing
from services.recovery.situation import Situation, instance_of, unreadable, with_readings
from services.recovery.turn import Command, StepResult, Turn
from services.shared.mysql.gtid import GtidSet, parse_gtid_set
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot import TopologySnapshot


class RecoveryMachine:
    """One recovery, from its registration, or from what a former leader left of it, to its end."""

    def __init__(
        self,
        recovery: Recovery,
        drain_timeout: timedelta = timedelta(seconds=10),
        policy: PlanningPolicy = DEFAULT_POLICY,
    ) -> None:
        """Take a recovery as it stands.

        Args:
            recovery: New, or as the journal has it.
            drain_timeout: Longest time the choice may take to apply what it received.
            policy: What steers the choice.
        """
        self._ledger = Ledger(recovery)
        self._drain_timeout = drain_timeout
        self._policy = policy
        self._waiting: dict[int, Command] = {}
        self._results: list[StepResult] = []
        self._readings: dict[InstanceKey, Instance] = {}
        self._fenced: GtidSet | None = None
        self._dead: frozenset[InstanceKey] = frozenset()
        self._passed_over: frozenset[InstanceKey] = frozenset()

    @property
    def recovery(self) -> Recovery:
        """The recovery as it stands."""
        return self._ledger.recovery

    def start(self, snapshot: TopologySnapshot, now: datetime) -> Turn:
        """Begin a new recovery: its first steps go into the journal together with its registration."""
        self._ledger.mark = now
        return self._begin(snapshot, now)

    def registered(self, now: datetime) -> None:
        """Take note that the registration was committed."""
        self._ledger.time("register", now)

    def resume(self, snapshot: TopologySnapshot, now: datetime) -> Turn:
        """Go on with an adopted recovery from what its journal says.

        Args:
            snapshot: The topology, read anew.
            now: The time.
        """
        self._ledger.mark = now
        lost = [self._ledger.set(replace(step, state=StepState.UNKNOWN, error="its leader was lost"))
                for step in self.recovery.steps if step.state is StepState.RUNNING]  # fmt: skip
        turn = self._next(snapshot, now)
        return replace(turn, record=(*lost, *turn.record))

    def ended(self, result: StepResult, snapshot: TopologySnapshot, now: datetime) -> Turn | None:
        """Take what became of a command; return what follows, or None while others of its kind still run."""
        command = self._waiting.pop(result.number)
        step = self._ledger.set(_ended(command.step, result, now))
        self._results.append(result)
        self._take(command, step, result)
        if self._waiting:
            return None
        results, self._results = self._results, []
        return self._follow(step.kind, results, snapshot, now)

    # What each kind of step leads to.

    def _next(self, snapshot: TopologySnapshot, now: datetime) -> Turn:
        """Return how to go on from the steps that are done."""
        done = {kind: self._ledger.is_done(kind) for kind in StepKind}
        if self.recovery.kind is RecoveryKind.FORMER_PRIMARY or not done[StepKind.CHOOSE]:
            return self._begin(snapshot, now)
        if not done[StepKind.PROMOTE]:
            return self._drain(snapshot, now)
        if not done[StepKind.PUBLISH]:
            return self._publish((), now)
        if self._ledger.to_repoint():
            return self._repoint((), snapshot, now)
        return self._verify((), snapshot, now)

    def _follow(
        self, kind: StepKind, results: list[StepResult], snapshot: TopologySnapshot, now: datetime
    ) -> Turn | None:
        ended = self._ledger.ended_steps(results)
        match kind:
            case StepKind.FENCE | StepKind.FREEZE if self.recovery.kind is RecoveryKind.FORMER_PRIMARY:
                return self._close_former(ended, snapshot, now)
            case StepKind.FENCE | StepKind.FREEZE:
                return self._choose(ended, snapshot, now)
            case StepKind.DRAIN:
                return self._drained(ended[0], results[0], snapshot, now)
            case StepKind.CATCH_UP:
                return self._caught_up(ended[0], results[0], snapshot, now)
            case StepKind.PROMOTE:
                return self._promoted(ended[0], now)
            case StepKind.PUBLISH:
                self._ledger.time("publish", now)
                self._ledger.change(epoch=results[0].epoch)
                return self._repoint(ended, snapshot, now)
            case StepKind.REPOINT:
                self._ledger.time("repoint", now)
                return self._verify(ended, snapshot, now)
            case _:
                return self._finish(ended, now)

    def _begin(self, snapshot: TopologySnapshot, now: datetime) -> Turn:
        failed = snapshot.instances.get(self.recovery.failed, Instance(self.recovery.failed))
        if self.recovery.kind is RecoveryKind.FORMER_PRIMARY:
            return self._run((fence_step(failed),), {failed.key: failed}, now)
        replicas = snapshot.direct_replicas(failed.key)
        steps = (fence_step(failed), *freeze_steps(replicas, failed.key))
        return self._run(steps, {each.key: each for each in (failed, *replicas)}, now)

    def _choose(self, ended: tuple[Step, ...], snapshot: TopologySnapshot, now: datetime) -> Turn:
        """Choose from what was read after the freeze, and hand out DRAIN with the intent of PROMOTE."""
        current = with_readings(snapshot, tuple(self._readings.values()))
        plan = plan_failover(
            Situation(
                current,
                self.recovery.failed,
                now,
                self._policy,
                self.recovery.kind,
                fenced=self._fenced,
                excluded=self._dead,
                passed_over=self._passed_over,
            )
        )
        self._ledger.change(
            successor=plan.chosen,
            interim=plan.interim,
            successor_server_uuid=current.instances[plan.chosen].server_uuid if plan.chosen else "",
            candidates=plan.candidates,
            loss=plan.loss,
            lost_replicas=plan.lost_replicas,
        )
        choose = self._ledger.append((Step(0, StepKind.CHOOSE, plan.chosen, state=StepState.DONE, start_time=now),))
        if plan.chosen is None:
            refused = replace(choose[0], state=StepState.FAILED, error="no replica may be promoted")
            return self._fail(current, (*ended, self._ledger.set(refused)), plan.refusal_reason, now)
        reason = next(each.reason for each in plan.candidates if each.instance == plan.chosen)
        chosen = replace(choose[0], outcome=reason, elapsed=timedelta())
        self._ledger.time("plan", now)
        turn = self._drain(current, now)
        return replace(turn, record=(*ended, self._ledger.set(chosen), *turn.record))

    def _drain(self, snapshot: TopologySnapshot, now: datetime) -> Turn:
        """Hand out DRAIN; the intent of what comes next goes along, so that it needs no commit of its own."""
        assert self.recovery.successor is not None
        successor, interim = self._reading(snapshot, self.recovery.successor), self.recovery.interim
        if interim is None:
            first, following = successor, promote_step(successor, instance_of(snapshot, self.recovery.failed))
        else:
            first = self._reading(snapshot, interim)
            following = catch_up_step(successor, self.recovery.failed, interim)
        running = self._ledger.running((drain_step(first), following), now)
        return Turn(record=running, commands=self._hand_out(running[:1], {first.key: first}))

    def _drained(self, drain: Step, result: StepResult, snapshot: TopologySnapshot, now: datetime) -> Turn:
        self._ledger.time("drain", now)
        assert drain.instance is not None
        following = self.recovery.last_step(StepKind.PROMOTE if self.recovery.interim is None else StepKind.CATCH_UP)
        assert following is not None
        if drain.state is StepState.DONE:
            return self._go_on(drain, following, snapshot, now)
        skipped = self._ledger.set(replace(following, state=StepState.SKIPPED, outcome="nothing was drained before"))
        if result.dead and not self._ledger.promotion_may_have_begun(drain.instance):
            self._dead |= {drain.instance}
            return self._choose((drain, skipped), snapshot, now)
        error = f"{drain.instance} did not apply what it received: {drain.error}"
        return self._fail(snapshot, (skipped, drain), error, now)

    def _go_on(self, drain: Step, following: Step, snapshot: TopologySnapshot, now: datetime) -> Turn:
        """Hand out what its intent was written for together with DRAIN."""
        assert self.recovery.successor is not None
        successor = self._reading(snapshot, self.recovery.successor)
        assert following.start_time is not None
        assert following.hold is not None
        if now - following.start_time > following.hold / 2:  # What is left of the hold might not do: a fresh intent.
            following = self._ledger.set(replace(following, start_time=now))
            return Turn((drain, following), self._hand_out((following,), {successor.key: successor}))
        return Turn(commands=self._hand_out((following,), {successor.key: successor}))

    def _caught_up(self, catch_up: Step, result: StepResult, snapshot: TopologySnapshot, now: datetime) -> Turn:
        """Promote who caught up; otherwise choose again, without it."""
        self._ledger.time("catch_up", now)
        assert self.recovery.successor is not None
        drain = self.recovery.last_step(StepKind.DRAIN)
        ended = (drain, catch_up) if drain is not None else (catch_up,)
        if catch_up.state is StepState.DONE:
            successor = self._reading(snapshot, self.recovery.successor)
            promote = promote_step(successor, instance_of(snapshot, self.recovery.failed))
            turn = self._run((promote,), {successor.key: successor}, now)
            return replace(turn, record=(*ended, *turn.record))
        if self._ledger.promotion_may_have_begun(self.recovery.successor):
            error = f"{self.recovery.successor} did not catch up with {self.recovery.interim}: {catch_up.error}"
            return self._fail(snapshot, ended, error, now)
        self._passed_over |= {self.recovery.successor}
        if result.dead:
            self._dead |= {self.recovery.successor}
        return self._choose(ended, snapshot, now)

    def _promoted(self, promote: Step, now: datetime) -> Turn:
        self._ledger.time("promote", now)
        drain = self.recovery.last_step(StepKind.DRAIN)
        ended = (drain, promote) if drain is not None else (promote,)
        if promote.state is StepState.DONE:
            return self._publish(ended, now)
        error = f"{self.recovery.successor} could not be promoted: {promote.error}"
        return self._end(ended, RecoveryState.FAILED, now, error)

    def _publish(self, ended: tuple[Step, ...], now: datetime) -> Turn:
        running = self._ledger.running((Step(0, StepKind.PUBLISH, self.recovery.successor),), now)
        return Turn((*ended, *running), self._hand_out(running, {}), together=True)

    def _repoint(self, ended: tuple[Step, ...], snapshot: TopologySnapshot, now: datetime) -> Turn:
        assert self.recovery.successor is not None
        followers = tuple(self._reading(snapshot, key) for key in self._ledger.to_repoint())
        if not followers:
            return self._verify(ended, snapshot, now)
        failed, successor = self.recovery.failed, self.recovery.successor
        sources = {replica.key: self._ledger.source_of(replica.key) or successor for replica in followers}
        steps = tuple(repoint_step(each, failed, sources[each.key], successor) for each in followers)
        turn = self._run(steps, {replica.key: replica for replica in followers}, now)
        return replace(turn, record=(*ended, *turn.record))

    def _verify(self, ended: tuple[Step, ...], snapshot: TopologySnapshot, now: datetime) -> Turn:
        # Reading changes nothing, so VERIFY needs no intent of its own.
        running = self._ledger.running((Step(0, StepKind.VERIFY, self.recovery.successor),), now)
        followers = tuple(self._reading(snapshot, key) for key in self._ledger.followers())
        instances = {key: self._reading(snapshot, key) for key in (self.recovery.successor,) if key is not None}
        return Turn((*ended, *running), self._hand_out(running, instances, followers), together=True)

    def _finish(self, ended: tuple[Step, ...], now: datetime) -> Turn:
        whole = not self.recovery.lost_replicas and ended[-1].state is StepState.DONE
        return self._end(ended, RecoveryState.SUCCEEDED if whole else RecoveryState.SUCCEEDED_WITH_LOSSES, now)

    def _close_former(self, ended: tuple[Step, ...], snapshot: TopologySnapshot, now: datetime) -> Turn:
        fence = ended[0]
        if fence.state is not StepState.DONE or self._fenced is None:
            return self._end(
                ended, RecoveryState.FAILED, now, f"it was not made read-only: {fence.error or fence.outcome}"
            )
        self._ledger.change(loss=self._left_behind(snapshot))
        return self._end(ended, RecoveryState.SUCCEEDED, now)

    def _left_behind(self, snapshot: TopologySnapshot) -> Loss:
        """Return what a former primary has and the present one lacks."""
        present = snapshot.instances.get(self.recovery.successor) if self.recovery.successor else None
        has = executed(present) if present is not None else None
        if has is None or self._fenced is None or type(has) is not type(self._fenced):
            return Loss(LossState.UNKNOWN, "", "the position of the present primary is not known")
        only_here = missing(self._fenced, has)
        if not only_here:
            return Loss(LossState.PROVEN_NONE, "", "the present primary has everything the former one has")
        return Loss(
            LossState.BOUNDED, str(only_here), "the former primary has these, possibly acknowledged, for itself"
        )

    def _fail(self, snapshot: TopologySnapshot, ended: tuple[Step, ...], error: str, now: datetime) -> Turn:
        """End a recovery before anybody was promoted: replicas stay frozen, and the last step says how to undo that."""
        remaining = tuple(
            f"on {step.instance}: {statement}"
            for step in self.recovery.steps
            if step.kind is StepKind.FREEZE and step.state is StepState.DONE and step.instance is not None
            for statement in statements.unfreeze(self._reading(snapshot, step.instance), self.recovery.failed)
        )
        last = ended[-1]
        last = self._ledger.set(replace(last, remaining_statements=(*last.remaining_statements, *remaining)))
        return self._end((*ended[:-1], last), RecoveryState.FAILED, now, error)

    def _end(self, ended: tuple[Step, ...], state: RecoveryState, now: datetime, error: str = "") -> Turn:
        self._ledger.change(state=state, end_time=now, error=error)
        return Turn(record=ended, close=True)

    # Bookkeeping.

    def _take(self, command: Command, step: Step, result: StepResult) -> None:
        """Keep what a result tells about its server."""
        instance = command.instance
        if step.kind is StepKind.FREEZE and instance is not None:
            self._readings[instance.key] = result.reading or unreadable(instance, result.error or "it was not read")
        if step.kind is StepKind.FENCE and instance is not None and result.gtid_set is not None and instance.flavor:
            self._fenced = parse_gtid_set(instance.flavor, result.gtid_set)
        if step.kind is StepKind.REPOINT and step.state is not StepState.DONE and step.instance is not None:
            lost = (*self.recovery.lost_replicas, step.instance)
            listed = tuple(_with_fate(each, step) for each in self.recovery.candidates)
            self._ledger.change(lost_replicas=tuple(sorted(set(lost))), candidates=listed)

    def _reading(self, snapshot: TopologySnapshot, key: InstanceKey) -> Instance:
        return self._readings.get(key) or snapshot.instances.get(key, Instance(key))

    def _run(self, steps: tuple[Step, ...], instances: dict[InstanceKey, Instance], now: datetime) -> Turn:
        running = self._ledger.running(steps, now)
        return Turn(record=running, commands=self._hand_out(running, instances))

    def _hand_out(
        self,
        steps: tuple[Step, ...],
        instances: dict[InstanceKey, Instance],
        followers: tuple[Instance, ...] = (),
    ) -> tuple[Command, ...]:
        recovery = self.recovery
        sources = {each.instance: each.source for each in recovery.candidates if each.source is not None}
        commands = tuple(
            Command(
                step,
                instances.get(step.instance) if step.instance else None,
                recovery.failed,
                recovery.successor,
                recovery.successor_server_uuid,
                self._received(step.source if step.kind is StepKind.CATCH_UP else step.instance),
                followers,
                sources,
                self._drain_timeout,
            )
            for step in steps
        )
        self._waiting.update({command.step.number: command for command in commands})
        return commands

    def _received(self, replica: InstanceKey | None) -> str:
        """Return what a replica had received when it was weighed; empty = not known, or not weighed."""
        return next((e.received_gtid_set for e in self.recovery.candidates if e.instance == replica), "")


def _ended(step: Step, result: StepResult, now: datetime) -> Step:
    assert result.state.ended
    return replace(
        step,
        state=result.state,
        elapsed=now - step.start_time if step.start_time else None,
        outcome=result.outcome,
        error=result.error,
        remaining_statements=result.remaining,
    )


def _with_fate(candidate: PromotionCandidate, repoint: Step) -> PromotionCandidate:
    if candidate.instance != repoint.instance:
        return candidate
    return replace(candidate, reason=f"{candidate.reason}; lost: it could not be re-pointed: {repoint.error}")

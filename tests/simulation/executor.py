"""The recovery process beside a member: it acquires, registers or adopts, steps, and acts on instances (13).

It is a process of its own: it lives on when the member crashes or is paused, and relies on the last lease it was told
until that ends. Between the check of F4 and the statement it may be stalled, where the instances fence (F9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.consensus.errors import RecoveryOpen
from services.consensus.raft.model import MILLISECOND
from services.consensus.raft.outputs import LeaderLease
from services.consensus.state.commands import (
    AdoptRecovery,
    CloseRecovery,
    Command,
    GrantLease,
    Phase,
    RecordSteps,
    RegisterRecovery,
    StepWrite,
    encode_command,
)
from services.consensus.state.lease_table import Lease
from services.consensus.state.machine import RECOVERY_LEASE
from services.consensus.state.recovery_record import Recovery, Step
from tests.simulation.defect import Defect
from tests.simulation.process import NOT_DONE, Answer, Fate, Pause, Process, Reply, Script

if TYPE_CHECKING:
    from tests.simulation.fleet import Instance
    from tests.simulation.node import Node
    from tests.simulation.world import World

MARGIN = 20 * MILLISECOND
"""What F4 wants left of the lease."""
ASK_WITHIN = 2000 * MILLISECOND
HOLD_SLACK = 300 * MILLISECOND


class Executor:
    """Holder of the lease `recovery` on one node, sometimes."""

    def __init__(self, world: World, node: Node) -> None:
        """Start without a token."""
        self._world = world
        self._node = node
        self._token = 0
        self._seq = 0
        self._valid_until = 0
        self._busy = False
        self._draining = False
        self._process: Process | None = None
        if world.weights.executor_pause:
            world.schedule(0, self._begin)

    def told(self, lease: LeaderLease) -> None:
        """Hear of the leader lease (F3); a lapse ends the token (F8)."""
        if not self._token:
            return
        if lease.valid_until == 0 or lease.seq != self._seq:
            self._lose()
        else:
            self._valid_until = lease.valid_until

    def drain(self, draining: bool) -> None:
        """Hear that the leader wants to hand over: end the running step, begin no other (8.1 b)."""
        self._draining = draining
        self._say_drained()

    def stop(self) -> None:
        """End with its node."""
        self._lose()
        if self._process is not None:
            self._process.stop()

    def _say_drained(self) -> None:
        if self._draining and not self._busy:
            self._node.drained()

    def _begin(self) -> None:
        self._process = Process(self._world, self._live())

    def _lose(self) -> None:
        self._world.fleet.disconnect(self._token)
        self._token = 0

    def _live(self) -> Script[None]:
        while True:
            yield Pause(self._world.between(1, 2 * self._world.weights.executor_pause))
            node = self._node
            if node.running and not self._draining and node.lease.valid_at(node.clock()):
                token = yield from self._acquire()
                while token and self._token == token:
                    yield Pause(self._world.between(1, self._world.weights.executor_pause))
                    if self._token == token and not self._draining and node.running:
                        yield from self._recover(token)

    def _acquire(self) -> Script[int]:
        """Get the lease under the leader's own (F1); return the token, 0 = refused."""
        node = self._node
        seq, session = node.lease.seq, f"{node.member_id}.{node.life}"
        reply = yield from self._ask(GrantLease(RECOVERY_LEASE, node.member_id, session))
        lease = reply.result
        if not isinstance(lease, Lease) or lease.member_id != node.member_id or lease.session_id != session:
            return 0
        if not node.running or node.lease.seq != seq or not node.lease.valid_at(node.clock()):
            return 0
        self._world.checker.leases.granted(node, lease.fencing_token)
        self._token, self._seq, self._valid_until = lease.fencing_token, seq, node.lease.valid_until
        return lease.fencing_token

    def _recover(self, token: int) -> Script[None]:
        rng, cluster = self._world.rng, self._world.rng.choice(self._world.fleet.clusters)
        recovery_id = f"r{self._world.new_waiter()}"
        reply = yield from self._ask(RegisterRecovery(recovery_id, token, cluster, cluster, b"", 0))
        if isinstance(reply.result, RecoveryOpen):
            recovery_id = reply.result.recovery_id
            reply = yield from self._ask(AdoptRecovery(recovery_id, token))
        recovery = reply.result
        if not isinstance(recovery, Recovery) or not recovery.is_open:
            return
        if not (yield from self._end_holds(recovery, token)):
            return
        first = 1 + max((step.number for step in recovery.steps), default=0)
        for number in range(first, first + rng.randint(1, 3)):
            instance = rng.choice(self._world.fleet.instances[cluster])
            if not (yield from self._act(recovery_id, token, number, instance)):
                return
        yield from self._ask(CloseRecovery(recovery_id, token, b"", True))

    def _end_holds(self, recovery: Recovery, token: int) -> Script[bool]:
        """Let statements of older tokens run out, or kill them where that is possible (F5, F9, F10)."""
        for step in recovery.steps:
            if step.phase is not Phase.INTENT or not step.hold_ms or step.fencing_token >= token:
                continue
            if self._world.weights.instances_fence:
                if not self._in_time(MARGIN) or not self._world.fleet.find(step.instance).connect(token):
                    return False
            elif self._world.defect is not Defect.ADOPT_WITHOUT_WAIT:
                while self._node.clock() < self._end_of(step):
                    yield Pause(self._world.rng.randint(1, 50) * MILLISECOND)
            ended = StepWrite(step.number, Phase.UNKNOWN, None, b"", step.instance)
            if not (yield from self._write(recovery.recovery_id, token, ended)):
                return False
        return True

    def _end_of(self, step: Step) -> int:
        """Return when a hold is certainly over, counted from the own election (F5)."""
        drift = self._node.settings.clock_drift_ppm
        hold = (step.hold_ms or 0) * MILLISECOND
        return self._node.elected_at + hold * (1_000_000 + drift) // (1_000_000 - drift)

    def _act(self, recovery_id: str, token: int, number: int, instance: Instance) -> Script[bool]:
        """Write the intent, check, run the statement, write the outcome (F4, F6); True when all of it was done."""
        rng, weights, node = self._world.rng, self._world.weights, self._node
        if self._draining or self._token != token or not self._in_time(MARGIN) or not instance.connect(token):
            return False
        is_hold = rng.random() < weights.hold_share
        bound = rng.randint(5, 3000 if is_hold else 120) * MILLISECOND
        hold = bound + HOLD_SLACK if is_hold else None
        proposed_at = node.clock()
        self._busy = True
        try:
            hold_ms = None if hold is None else hold // MILLISECOND
            intent = StepWrite(number, Phase.INTENT, hold_ms, b"", instance.name)
            written = yield from self._write(recovery_id, token, intent)
            if not written or self._token != token:
                return False
            fits = node.clock() + bound < proposed_at + hold if hold else self._in_time(bound + MARGIN)
            stalled = fits and rng.random() < weights.executor_stall
            if not fits or not self._in_time(MARGIN):
                return (yield from self._write(recovery_id, token, StepWrite(number, Phase.FAILED, None, b"")))
            if stalled:
                yield Pause(rng.randint(10, 5000) * MILLISECOND)
            length = rng.randint(1, bound)
            statement = instance.run(token, length, is_hold)
            if statement is None:
                return False
            self._world.checker.leases.statement(node, statement, stalled)
            yield Pause(length)
            if self._token != token:
                return False
            return (yield from self._write(recovery_id, token, StepWrite(number, Phase.DONE, None, b"")))
        finally:
            self._busy = False
            self._say_drained()

    def _write(self, recovery_id: str, token: int, step: StepWrite) -> Script[bool]:
        reply = yield from self._ask(RecordSteps(recovery_id, token, (step,), b""))
        return isinstance(reply.result, int)

    def _in_time(self, length: int) -> bool:
        """Tell whether the lease outlasts a statement of that length (F4); reads the clock at this moment (L1)."""
        return self._node.clock() + length < self._valid_until

    def _ask(self, command: Command) -> Script[Reply]:
        """Have a command committed by the own member; its answer, or nothing in time."""
        if not self._node.up:
            yield Pause(10 * MILLISECOND)
            return NOT_DONE
        waiter = self._world.new_waiter()
        self._node.propose(encode_command(command), waiter)
        reply: Reply = yield Answer(waiter, ASK_WITHIN)
        return reply if reply.fate is Fate.DONE else NOT_DONE

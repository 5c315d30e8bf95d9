"""A fleet of servers as values: carries out the commands of a recovery the way the executor does, without MySQL."""

from __future__ import annotations

from dataclasses import replace

from services.recovery.model import StepKind, StepState
from services.recovery.positions import received
from services.recovery.turn import Command, StepResult
from services.shared.topology.channel import ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot import TopologySnapshot
from tests.support.recovery.topologies import snapshot


class FakeFleet:
    """Servers by endpoint; `dead` ones do not answer, `stuck` ones never finish applying.

    Attributes:
        statements: What was executed, in order, as (host, step kind).
        published: The directory: endpoint and how often it was written.
    """

    def __init__(self, *instances: Instance) -> None:
        self.servers = {instance.key: instance for instance in instances}
        self.dead: set[InstanceKey] = set()
        self.stuck: set[InstanceKey] = set()
        self.refuse_repoint: set[InstanceKey] = set()
        self.statements: list[tuple[str, StepKind]] = []
        self.published: list[InstanceKey] = []

    def snapshot(self) -> TopologySnapshot:
        """Return what discovery would say."""
        return snapshot(*self.servers.values())

    def writable(self) -> list[str]:
        """Return the hosts of the servers that take writes and live, by name."""
        return sorted(
            each.key.host for each in self.servers.values() if each.read_only is False and each.key not in self.dead
        )

    def carry_out(self, command: Command) -> StepResult:
        """Do what a command says and tell what came of it."""
        number, kind = command.step.number, command.step.kind
        key = command.step.instance
        if kind in (StepKind.PUBLISH, StepKind.VERIFY):
            return self._publish(command) if kind is StepKind.PUBLISH else StepResult(number, StepState.DONE)
        assert key is not None
        if key in self.dead:
            return StepResult(number, StepState.FAILED, error="connection refused", dead=True)
        self.statements.append((key.host, kind))
        match kind:
            case StepKind.FENCE:
                self._change(key, read_only=True, super_read_only=True)
                return StepResult(number, StepState.DONE, gtid_set=self.servers[key].executed_gtid_set)
            case StepKind.FREEZE:
                self._thread(key, io_state=ThreadState.OFF)
                return StepResult(number, StepState.DONE, reading=self.servers[key])
            case StepKind.CATCH_UP:
                return self._catch_up(command, key)
            case StepKind.DRAIN:
                return self._drain(command, key)
            case StepKind.PROMOTE:
                self._change(key, channels=(), read_only=False, super_read_only=False)
                return StepResult(number, StepState.DONE)
            case _:
                return self._repoint(command, key)

    def _drain(self, command: Command, key: InstanceKey) -> StepResult:
        number = command.step.number
        if key in self.stuck:
            return StepResult(number, StepState.FAILED, error="nothing was applied for 10 s", remaining=("WAIT",))
        if self.servers[key].channels:
            everything = received(self.servers[key], command.failed)
            self._change(key, executed_gtid_set=str(everything))
        assert command.target == self.servers[key].executed_gtid_set
        return StepResult(number, StepState.DONE)

    def _catch_up(self, command: Command, key: InstanceKey) -> StepResult:
        source = command.step.source
        assert source is not None
        if key in self.refuse_repoint:
            return StepResult(command.step.number, StepState.FAILED, error="denied")
        assert command.target == self.servers[source].executed_gtid_set, "fed before the feeding one had applied all"
        self._thread(key, source=source, io_state=ThreadState.ON, received_gtid_set="")
        self._change(key, executed_gtid_set=command.target)
        return StepResult(command.step.number, StepState.DONE)

    def _publish(self, command: Command) -> StepResult:
        assert command.successor is not None
        assert self.servers[command.successor].read_only is False, "published before it took writes"
        self.published.append(command.successor)
        return StepResult(command.step.number, StepState.DONE, epoch=2)

    def _repoint(self, command: Command, key: InstanceKey) -> StepResult:
        number = command.step.number
        if key in self.refuse_repoint:
            return StepResult(number, StepState.FAILED, error="denied", remaining=command.step.statements)
        assert command.successor is not None
        self._thread(key, source=command.step.source or command.successor, io_state=ThreadState.ON)
        return StepResult(number, StepState.DONE)

    def _change(self, key: InstanceKey, **changes: object) -> None:
        self.servers[key] = replace(self.servers[key], **changes)  # type: ignore[arg-type]

    def _thread(self, key: InstanceKey, **changes: object) -> None:
        channel = replace(self.servers[key].channels[0], **changes)  # type: ignore[arg-type]
        self._change(key, channels=(channel,))

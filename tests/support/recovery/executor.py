"""The executor as a fake: a `FakeFleet` behind the port, under the lease like the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from services.recovery.lease import LeaseGuard
from services.recovery.model import StepKind
from services.recovery.turn import Command, StepResult
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from tests.support.recovery.fleet import FakeFleet
from tests.support.recovery.topologies import READ, UNREADABLE


class FakeExecutor:
    """Carries out commands on values.

    Attributes:
        hold_before: Steps of this kind wait until `go_on` is set.
        commands: Kinds of what was carried out, in order.
        under_way: Statements that were sent and have no answer yet, by instance.
        released: Instances whose sessions were closed.
        held_until_ns: For how long each command was told to wait for an older executor.
    """

    def __init__(self, fleet: FakeFleet) -> None:
        self.fleet = fleet
        self.hold_before: StepKind | None = None
        self.go_on = asyncio.Event()
        self.commands: list[StepKind] = []
        self.under_way: dict[InstanceKey, str] = {}
        self.released: set[InstanceKey] = set()
        self.held_until_ns: dict[int, int | None] = {}

    def prepare(self, failed: Instance, replicas: Sequence[Instance], token: int) -> None:
        """Do nothing."""

    async def carry_out(self, command: Command, guard: LeaseGuard, hold_until_ns: int | None) -> StepResult:
        """Do what a command says, if the lease allows it."""
        self.held_until_ns[command.step.number] = command.held_until_ns
        if command.step.kind is self.hold_before:
            await self.go_on.wait()
        await asyncio.sleep(0)
        if command.step.kind is not StepKind.VERIFY:
            guard.check(0, hold_until_ns)
        self.commands.append(command.step.kind)
        return self.fleet.carry_out(command)

    async def read(self, instance: Instance) -> Instance:
        """Return a server as it is."""
        if instance.key in self.fleet.dead:
            return replace(instance, reading=UNREADABLE)
        return replace(self.fleet.servers[instance.key], reading=READ)

    def running(self, key: InstanceKey) -> str:
        """Return what was sent and has no answer yet."""
        return self.under_way.get(key, "")

    def release(self, keys: Sequence[InstanceKey]) -> None:
        """Note whose sessions were closed."""
        self.released.update(keys)

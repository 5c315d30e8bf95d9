"""One node of recovery with everything around it faked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from services.recovery.app import RecoveryApp
from services.recovery.lease import LeaseGuard
from services.recovery.model import Finding, Leadership, Policy, Record, Recovery, Stop
from services.recovery.world import World
from tests.support.eventually import eventually
from tests.support.recovery.executor import FakeExecutor
from tests.support.recovery.fakes import FakeDirectory, FakeJournal, FakeLease, RealClock
from tests.support.recovery.fleet import FakeFleet
from tests.support.recovery.machine_journal import MachineJournal
from tests.support.recovery.topologies import CLUSTER, P, primary, replica

FINDING: Final = Finding(CLUSTER, "shop", P, "DEAD_PRIMARY", "DeadMaster", actionable=True)


class HeldLease:
    """The lease as the app sees it."""

    def __init__(self, lease: FakeLease) -> None:
        self.lease = lease

    @property
    def live(self) -> bool:
        """Whether it is held."""
        return self.lease.state is not None

    @property
    def draining(self) -> bool:
        """Whether leadership is being handed over."""
        return self.lease.state is not None and self.lease.state.draining

    def give_back(self) -> None:
        """Give it back."""
        self.lease.lose()

    def guard(self) -> LeaseGuard | None:
        """Return a guard that pins it."""
        return self.lease.guard() if self.live else None


class Node:
    """A node whose neighbours are fakes; the journal's stream is what `echo` copies."""

    def __init__(
        self,
        fleet: FakeFleet,
        policy: Policy = Policy.ACT,
        journal: FakeJournal | None = None,
        token: int = 7,
        *,
        machine: MachineJournal | None = None,
    ) -> None:
        """Put the node together; with a `machine` its journal is that one, and `journal` is not used."""
        self.fleet = fleet
        self.journal = journal or FakeJournal()
        self._machine = machine
        self.directory = FakeDirectory()
        self.executor = FakeExecutor(fleet)
        self.lease = FakeLease(token)
        self.world = World()
        self.stops: list[Stop] = []
        self.app = RecoveryApp(
            self.world,
            HeldLease(self.lease),
            machine or self.journal,
            self.directory,
            self.executor,
            RealClock(),
            node="node1",
            policy=policy,
            block_period=timedelta(hours=1),
            drain_timeout=timedelta(seconds=1),
            audit=self.stops.append,
        )
        self.world.leadership = Leadership("node1", "n1:50053", local=True)
        self.world.replace_topology(fleet.snapshot())
        self.world.change_findings((), (), first=True)
        self.world.change_records((), first=True)
        self.world.change_primaries((), first=True)

    def find(self, finding: Finding = FINDING) -> None:
        """Let analysis say something."""
        self.world.change_findings((finding,), (), first=False)
        self.app.consider()

    def echo(self) -> None:
        """Let the journal's stream say all it knows."""
        self.world.change_records(self._records().values(), first=True)
        self.app.consider()

    def _records(self) -> dict[str, Record]:
        return self.journal.records if self._machine is None else self._machine.kept

    async def closed(self) -> Recovery:
        """Wait until a recovery is closed, and return the newest."""

        async def is_closed() -> Recovery | None:
            found = [each.recovery for each in self._records().values() if not each.open]
            return found[-1] if found else None

        found = await eventually(is_closed, within=5)
        assert found is not None
        return found


@asynccontextmanager
async def running(node: Node) -> AsyncIterator[Node]:
    """Let a node act as long as the block lasts."""
    task = asyncio.create_task(node.app.run())
    await asyncio.sleep(0)
    try:
        yield node
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def dead_primary() -> FakeFleet:
    """Return a fleet whose primary died; `a` received most."""
    fleet = FakeFleet(primary(), replica("a", 110), replica("b", 90))
    fleet.dead.add(P)
    return fleet


async def quiet(node: Node) -> None:
    """Let the node look at everything, several times over."""
    for _ in range(50):
        node.app.consider()
        await asyncio.sleep(0)

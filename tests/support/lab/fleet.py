"""The instances of one deployment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from services.shared.topology.server import Flavor
from tests.support.eventually import eventually
from tests.support.lab.accounts import Credentials
from tests.support.lab.errors import LabError
from tests.support.lab.instance import LabInstance
from tests.support.lab.replication import executed_gtids, has_applied, is_replicating, replicate


class Fleet:
    """What `Lab.deploy` made; `primary` and `replicas` are as deployed, whatever happened since."""

    def __init__(self, instances: Mapping[str, LabInstance], credentials: Credentials) -> None:
        self._instances = dict(instances)
        self.credentials = credentials

    def __getitem__(self, name: str) -> LabInstance:
        return self._instances[name]

    def __iter__(self) -> Iterator[LabInstance]:
        """Iterate in the order of the topology's line."""
        return iter(self._instances.values())

    def __len__(self) -> int:
        return len(self._instances)

    @property
    def primaries(self) -> tuple[LabInstance, ...]:
        """Instances deployed without a source, one per cluster."""
        return tuple(instance for instance in self if instance.spec.source is None)

    @property
    def primary(self) -> LabInstance:
        """The one primary.

        Raises:
            LabError: The line has several clusters.
        """
        if len(self.primaries) != 1:
            raise LabError(f"{len(self.primaries)} primaries: name the one you mean")
        return self.primaries[0]

    @property
    def replicas(self) -> tuple[LabInstance, ...]:
        """Instances deployed with a source, a source before its replicas."""
        return tuple(instance for instance in self if instance.spec.source is not None)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """`host:port` of all instances."""
        return tuple(instance.endpoint for instance in self)

    def replicas_of(self, name: str) -> tuple[LabInstance, ...]:
        """Return the direct replicas of an instance, as deployed."""
        return tuple(instance for instance in self if instance.spec.source == name)

    async def caught_up(self, *, within: float = 10.0) -> None:
        """Wait until every replica has applied what its source has applied by now, from the primary downwards.

        Raises:
            AssertionError: One has not, `within` seconds each.
        """
        for replica in self.replicas:
            gtids = await executed_gtids(self[_source_of(replica)])
            if not await has_applied(replica, gtids, within=within):
                raise AssertionError(f"{replica.name} has not applied {gtids} within {within} s")

    async def wire(self, *, within: float = 30.0) -> None:
        """Make every replica replicate from its source and wait until all do.

        Raises:
            AssertionError: One does not, `within` seconds.
        """
        await asyncio.gather(*(_note_placement(instance) for instance in self))
        await asyncio.gather(*(replicate(replica, self[_source_of(replica)]) for replica in self.replicas))
        await asyncio.gather(*(_replicating(replica, within) for replica in self.replicas))


def _source_of(replica: LabInstance) -> str:
    assert replica.spec.source is not None
    return replica.spec.source


async def _replicating(replica: LabInstance, within: float) -> None:
    await eventually(lambda: is_replicating(replica), within=within, message=f"{replica.name} replicates")


async def _note_placement(instance: LabInstance) -> None:
    """Write the data centre where only this server has it: outside the binary log."""
    guard = "super_read_only" if instance.flavor is Flavor.MYSQL else "read_only"
    write = f"REPLACE INTO lab.placement (data_center) VALUES ('{instance.data_center}')"
    statements: tuple[str, ...] = ("SET SESSION sql_log_bin = 0", write)
    if instance.spec.source is not None:
        statements = (f"SET GLOBAL {guard} = OFF", *statements, f"SET GLOBAL {guard} = ON")
    await instance.execute(*statements)

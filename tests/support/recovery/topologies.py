"""Topologies as values, for tests that need no server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from services.recovery.model import FailoverPlan, PromotionCandidate, StepKind
from services.recovery.planning import plan
from services.recovery.situation import Situation
from services.shared.topology.channel import ReplicationChannel, ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.reading import Reading
from services.shared.topology.server import Flavor, SemiSync
from services.shared.topology.snapshot import Cluster, TopologySnapshot

NOW: Final = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
SEEN: Final = NOW - timedelta(seconds=1)
CLUSTER: Final = "6f0d1c5e-0000-4000-8000-000000000001"


def uuid(number: int) -> str:
    """Return the server UUID of a number: `uuid(1)` is the primary's."""
    return f"{number:08d}-1111-1111-1111-111111111111"


def key(name: str) -> InstanceKey:
    """Return the endpoint of a named server."""
    return InstanceKey(name, 3306)


P: Final = key("p")
READ: Final = Reading(last_checked_time=SEEN, last_seen_time=SEEN, last_check_valid=True)
UNREADABLE: Final = Reading(last_seen_time=SEEN, last_checked_time=NOW, error="timed out")


def gtids(last: int, *, of: int = 1) -> str:
    """Return the first `last` transactions of a server; none for 0."""
    return f"{uuid(of)}:1-{last}" if last else ""


def primary(**changes: Any) -> Instance:
    """Return the dead primary `p`, last seen with 100 transactions."""
    instance = Instance(
        key=P,
        server_uuid=uuid(1),
        server_id=1,
        flavor=Flavor.MYSQL,
        version="8.4.3",
        cluster_id=CLUSTER,
        read_only=False,
        log_bin=True,
        log_replica_updates=True,
        binlog_format="ROW",
        gtid_mode="ON",
        executed_gtid_set=gtids(100),
        data_center="east",
        reading=UNREADABLE,
        uptime=timedelta(hours=1),
    )
    return replace(instance, **changes)


def replica(name: str, received: int = 100, *, executed: int | None = None, **changes: Any) -> Instance:
    """Return a healthy replica of `p` that received so many transactions and executed as many, or `executed`.

    Keyword arguments that a channel has go to its channel.
    """
    number = 2 + sum(ord(character) for character in name)
    channel_fields = {name: changes.pop(name) for name in list(changes) if name in ReplicationChannel.__slots__}
    channel = ReplicationChannel(
        source=P,
        source_uuid=uuid(1),
        io_state=ThreadState.CONNECTING,
        sql_state=ThreadState.ON,
        gtid_positioning=True,
        received_gtid_set=gtids(received),
    )
    instance = Instance(
        key=key(name),
        server_uuid=uuid(number),
        server_id=number,
        flavor=Flavor.MYSQL,
        version="8.4.3",
        cluster_id=CLUSTER,
        read_only=True,
        super_read_only=True,
        log_bin=True,
        log_replica_updates=True,
        binlog_format="ROW",
        gtid_mode="ON",
        executed_gtid_set=gtids(received if executed is None else executed),
        data_center="east",
        channels=(replace(channel, **channel_fields),),
        reading=READ,
        uptime=timedelta(hours=1),
    )
    return replace(instance, **changes)


def mariadb_primary(**changes: Any) -> Instance:
    """Return a dead MariaDB primary, last seen at 0-1-100."""
    return primary(
        **{
            "flavor": Flavor.MARIADB,
            "version": "10.11.6-MariaDB",
            "executed_gtid_set": "0-1-100",
            "gtid_mode": "",
            **changes,
        }
    )


def mariadb_replica(name: str, received: int = 100, *, executed: int | None = None, **changes: Any) -> Instance:
    """Return a MariaDB replica that received up to 0-1-`received`."""
    facts = {
        "flavor": Flavor.MARIADB,
        "version": "10.11.6-MariaDB",
        "gtid_mode": "",
        "executed_gtid_set": f"0-1-{received if executed is None else executed}",
        "received_gtid_set": f"0-1-{received}",
        "using_gtid": "Slave_Pos",
        **changes,
    }
    return replica(name, received, **facts)


SEMI_SYNC: Final = SemiSync(
    source_enabled=True,
    source_status=True,
    wait_for_replica_count=1,
    clients=2,
    timeout=timedelta(seconds=10),
)
ACKER: Final = SemiSync(replica_enabled=True, replica_status=True)


def snapshot(*instances: Instance) -> TopologySnapshot:
    """Return a snapshot of these instances, all in one cluster."""
    clusters: Mapping[str, Cluster] = {CLUSTER: Cluster(CLUSTER, "shop", P, len(instances))}
    return TopologySnapshot(1, NOW, clusters, {each.key: each for each in instances})


def names(keys: Sequence[InstanceKey]) -> list[str]:
    """Return the host names of endpoints."""
    return [each.host for each in keys]


def planned(*instances: Instance, failed: InstanceKey = P, **facts: Any) -> FailoverPlan:
    """Return what is planned for these instances; keyword arguments are those of a situation."""
    return plan(Situation(snapshot(*instances), failed, NOW, **facts))


def entry(made: FailoverPlan, name: str) -> PromotionCandidate:
    """Return how a plan weighed a server."""
    return next(each for each in made.candidates if each.instance == key(name))


def hosts(made: FailoverPlan, kind: StepKind) -> list[str]:
    """Return where a plan has steps of a kind, in order, as `replica>source` if told whom to follow."""
    steps = [step for step in made.steps if step.kind is kind and step.instance is not None]
    return [f"{s.instance.host}>{s.source.host}" if s.source else s.instance.host for s in steps if s.instance]

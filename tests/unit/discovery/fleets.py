"""Small fleets as values: what probes of them would show, from one line each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.discovery.model import ProbeDepth, ProbeFailure, ProbeResult
from services.shared.topology.channel import ReplicationChannel, ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.reading import FailureKind
from services.shared.topology.server import Flavor

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
REFUSED = ProbeFailure(FailureKind.UNREACHABLE, 111, "Connection refused")
TIMED_OUT = ProbeFailure(FailureKind.TIMEOUT, 0, "no answer within 500 ms")


def key(name: str) -> InstanceKey:
    """The endpoint of an instance by its short name."""
    return InstanceKey(name, 3306)


def uuid(name: str) -> str:
    """A server UUID that shows whose it is: `p` is ...70, the letter's code."""
    return f"00000000-0000-0000-0000-{name.encode().hex():0>12}"


def at(seconds: float) -> datetime:
    """A wall time, seconds after the start."""
    return START + timedelta(seconds=seconds)


def instance(
    name: str,
    *sources: str,
    io: ThreadState = ThreadState.ON,
    io_errno: int = 0,
    executed: str = "",
    reports: tuple[str, ...] = (),
    read_only: bool | None = None,
    server_uuid: str | None = None,
    flavor: Flavor = Flavor.MYSQL,
    server_id: int = 0,
) -> Instance:
    """What a probe of an instance shows; without sources it is a writable primary."""
    channels = tuple(
        ReplicationChannel(
            key(source),
            name="" if number == 0 else f"channel{number}",
            source_uuid=uuid(source),
            io_state=io,
            sql_state=ThreadState.ON,
            io_errno=io_errno,
            lag=timedelta() if io is ThreadState.ON else None,
        )
        for number, source in enumerate(sources)
    )
    return Instance(
        key(name),
        server_uuid=uuid(name) if server_uuid is None else server_uuid,
        server_id=server_id,
        flavor=flavor,
        read_only=bool(sources) if read_only is None else read_only,
        executed_gtid_set=executed,
        channels=channels,
        reported_replicas=tuple(key(replica) for replica in reports),
    )


def result(
    outcome: Instance | ProbeFailure, *, of: str = "", at_s: float = 0, took_s: float = 0.01
) -> ProbeResult:  # fmt: skip
    """The result of a probe that ended `at_s` seconds after the start."""
    probed = outcome.key if isinstance(outcome, Instance) else key(of)
    end_ns = int(at_s * 1e9)
    return ProbeResult(probed, ProbeDepth.ROUTINE, outcome, end_ns - int(took_s * 1e9), end_ns, at(at_s))

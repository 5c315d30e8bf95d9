"""What came of it, read from the servers and from the application, not from the suite."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from services.ctl.text import Line, bad, good, line, strong
from tests.support.eventually import eventually
from tests.support.lab import Fleet, LabInstance, Writer

_FOLLOW_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Proof:
    """The figures of a failover.

    Attributes:
        successor: Endpoint that takes the writes now.
        outage_ms: Between the last write the killed primary acknowledged and the first of the successor.
        acknowledged: Writes that were acknowledged in all.
        lost: How many of them the successor does not have.
        writable: Surviving instances that accept writes; exactly the successor may.
        stray: Surviving replicas that do not follow the successor.
    """

    successor: str
    outage_ms: float
    acknowledged: int
    lost: int
    writable: tuple[str, ...]
    stray: tuple[str, ...]

    @property
    def failure(self) -> str:
        """What is not as promised; empty when all is."""
        if self.writable != (self.successor,):
            return f"writable: {', '.join(self.writable) or 'nobody'}; it should be {self.successor} alone"
        if self.lost:
            return f"{self.lost} acknowledged writes are lost"
        return f"not following {self.successor}: {', '.join(self.stray)}" if self.stray else ""

    @property
    def holds(self) -> bool:
        """Writes resumed on the one successor, nothing acknowledged is lost, and every replica follows."""
        return not self.failure

    def lines(self) -> list[Line]:
        """Return the figures as one line."""
        lost = good("0 lost") if not self.lost else bad(f"{self.lost} lost")
        outage = strong(f"{self.outage_ms:.0f} ms")
        resumed = line("writes resumed on ", strong(self.successor), " after ", outage)
        return [line(resumed, f"; of {self.acknowledged} acknowledged writes ", lost)]


async def prove(fleet: Fleet, writer: Writer, successor: str) -> Proof:
    """Ask the surviving servers, after the writer has ended.

    Args:
        fleet: The servers; its primary was killed.
        writer: The application, ended.
        successor: Endpoint that the suite says takes the writes.
    """
    instance = next(replica for replica in fleet.replicas if replica.endpoint == successor)
    others = [replica for replica in fleet.replicas if replica.endpoint != successor]
    outage = writer.outage(fleet.primary.endpoint)
    assert outage is not None
    following = await asyncio.gather(*(_follows(replica, instance) for replica in others))
    writable = await asyncio.gather(*(_is_writable(replica) for replica in fleet.replicas))
    return Proof(
        successor=successor,
        outage_ms=outage.duration_ns / 1e6,
        acknowledged=writer.count,
        lost=len(await writer.lost_ids(instance)),
        writable=tuple(replica.endpoint for replica, can in zip(fleet.replicas, writable, strict=True) if can),
        stray=tuple(replica.endpoint for replica, does in zip(others, following, strict=True) if not does),
    )


async def _is_writable(instance: LabInstance) -> bool:
    return await instance.variable("read_only") == "OFF"


async def _follows(replica: LabInstance, successor: LabInstance) -> bool:
    """Return whether a replica replicates from the successor and soon has all that it has."""

    async def caught_up() -> bool:
        (status,) = await replica.query("SHOW REPLICA STATUS") or [{}]
        running = status.get("Replica_IO_Running") == status.get("Replica_SQL_Running") == "Yes"
        executed = await _executed(successor)
        (row,) = await replica.query("SELECT GTID_SUBSET(%s, @@gtid_executed) AS has", (executed,))
        return running and status.get("Source_Port") == successor.port and bool(row["has"])

    try:
        return await eventually(caught_up, within=_FOLLOW_WITHIN_S)
    except AssertionError:
        return False


async def _executed(instance: LabInstance) -> str:
    (row,) = await instance.query("SELECT @@gtid_executed AS executed")
    return str(row["executed"])

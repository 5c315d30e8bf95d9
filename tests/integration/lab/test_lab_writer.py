"""The writer finds the successor and knows what was acknowledged."""

from __future__ import annotations

import pytest

from tests.support.eventually import eventually
from tests.support.lab import Lab, LabInstance, Writer

pytestmark = pytest.mark.mysql


async def _promote(instance: LabInstance) -> None:
    await instance.execute(
        "STOP REPLICA", "RESET REPLICA ALL", "SET GLOBAL super_read_only = 0", "SET GLOBAL read_only = 0"
    )


async def test_writer_moves_to_the_successor_of_a_killed_primary(lab: Lab) -> None:
    fleet = await lab.deploy("p -> r1 r2")
    primary, successor = fleet["p"], fleet["r2"]

    with Writer(tuple(fleet)) as writer:
        await eventually(lambda: writer.count >= 50, within=20)
        assert writer.endpoint == primary.endpoint
        assert writer.outage(primary.endpoint) is None
        killed_ns = primary.kill()
        await _promote(successor)
        await eventually(lambda: writer.outage(primary.endpoint), within=10)

    outage = writer.outage(primary.endpoint)
    assert outage is not None
    assert outage.first.endpoint == writer.endpoint == successor.endpoint
    assert outage.last == [a for a in writer.acknowledged if a.endpoint == primary.endpoint][-1]
    assert outage.first.time_ns > killed_ns
    assert 0 < outage.duration_ns < 10e9
    numbers = [acknowledgement.id for acknowledgement in writer.acknowledged]
    assert numbers == sorted(set(numbers))
    assert len(writer.unknown_ids) <= 1


async def test_writer_leaves_a_hung_primary(lab: Lab) -> None:
    fleet = await lab.deploy("p -> r")

    with Writer(tuple(fleet), answer_timeout_s=0.2) as writer:
        await eventually(lambda: writer.count >= 5, within=20)
        fleet["p"].stop()
        await _promote(fleet["r"])
        await eventually(lambda: writer.endpoint == fleet["r"].endpoint, within=10)
        fleet["p"].resume()


async def test_acknowledged_write_that_the_successor_lacks_is_lost(lab: Lab) -> None:
    fleet = await lab.deploy("p -> r")

    with Writer(tuple(fleet)) as writer:
        await eventually(lambda: writer.count >= 5, within=20)
        await fleet["r"].execute("STOP REPLICA IO_THREAD")
        count = writer.count
        await eventually(lambda: writer.count >= count + 5, within=20)
        await fleet["p"].execute("SET GLOBAL super_read_only = ON")

    lost = await writer.lost_ids(fleet["r"])
    assert 4 <= len(lost) < writer.count
    assert await writer.lost_ids(fleet["p"]) == ()
    assert set(lost) <= {acknowledgement.id for acknowledgement in writer.acknowledged}

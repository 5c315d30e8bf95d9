"""A real member tells what a traced call did."""

from __future__ import annotations

import re
from pathlib import Path

from primacy.consensus.v1 import consensus_pb2 as pb

from tests.support.consensus_group import LEASE, consensus_group, new_id
from tests.support.eventually import eventually

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_call_that_brings_a_trace_is_told_step_by_step_and_others_are_not(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, 1, extra={"spans_exporter": "console", "profile": "wan"}) as group:
        member = group.member(1)
        member.start()
        await group.leader(within=60)
        request = pb.AcquireRequest(name=LEASE, session_id=new_id())
        await member.leases.Acquire(request, timeout=10)
        metadata = (("traceparent", f"00-{TRACE_ID}-00f067aa0ba902b7-01"),)
        await member.leases.Acquire(request, timeout=10, metadata=metadata)

        async def told() -> bool:
            return '"name": "propose"' in member.output

        await eventually(told, within=30, message=lambda: member.output[-3000:])
        names = re.findall(r'^    "name": "(.*)"', member.output, re.MULTILINE)
        assert sorted(names) == [
            "apply",
            "persist",
            "primacy.consensus.v1.LeaseService/Acquire",
            "propose",
            "replicate",
        ]
        traces = set(re.findall(r'"trace_id": "0x(\w+)"', member.output))
        assert traces == {TRACE_ID}

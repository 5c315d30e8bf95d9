"""What tests of a group's operations share: its members as it is told of them, and a writer beside it."""

from __future__ import annotations

import asyncio
import time

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb

from services.shared.runtime.status import parse_error
from tests.support.consensus_group import Group, MemberProcess, acquire, new_id
from tests.support.eventually import eventually


def described(member: MemberProcess) -> pb.Member:
    return pb.Member(
        member_id=member.member_id,
        name=member.name,
        raft_endpoint=f"127.0.0.1:{member.raft_port}",
        api_endpoint=member.api_endpoint,
    )


async def add(leader: MemberProcess, member: MemberProcess, *, auto_promote: bool = True) -> pb.AddMemberResponse:
    request = pb.AddMemberRequest(request_id=new_id(), member=described(member), auto_promote=auto_promote)
    return await leader.group.AddMember(request, timeout=10)


def voters(members: list[pb.Member]) -> set[int]:
    return {member.member_id for member in members if member.kind == pb.MEMBER_KIND_VOTER}


async def all_vote(member: MemberProcess, expected: set[int], *, within: float = 20) -> pb.GetStatusResponse:
    async def status() -> pb.GetStatusResponse | None:
        found = await member.status()
        return found if voters(list(found.members)) == expected else None

    found = await eventually(
        status, within=within, retry_on=grpc.aio.AioRpcError, message=lambda: member.output[-3000:]
    )
    assert found is not None
    return found


class Writer:
    """Writes steps without pause through whoever leads, and remembers what was acknowledged and the longest gap."""

    def __init__(self, group: Group, members: list[MemberProcess]) -> None:
        self.acknowledged: list[str] = []
        self.gap = 0.0
        self._group = group
        self.members = members
        self._last = time.monotonic()
        self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        request_id, token = new_id(), 0
        while True:
            for member in list(self.members):
                try:
                    if not token:
                        token = (await acquire(member)).lease.fencing_token
                    await member.registry.PublishPrimary(self._request(request_id, token), timeout=1)
                except grpc.aio.AioRpcError as error:
                    if parse_error(error).reason in ("STALE_FENCING_TOKEN", "NOT_LEADER", "LEASE_HELD"):
                        token = 0
                    continue
                self.acknowledged.append(request_id)
                now = time.monotonic()
                self.gap, self._last = max(self.gap, now - self._last), now
                request_id = new_id()
            await asyncio.sleep(0)

    def _request(self, request_id: str, token: int) -> pb.PublishPrimaryRequest:
        request = pb.PublishPrimaryRequest(
            request_id=request_id, fencing_token=token, cluster_id=request_id, alias=request_id, server_uuid="u"
        )
        request.endpoint.host, request.endpoint.port = "db", 3306
        return request

    async def count(self, number: int) -> None:
        """Wait for so many more acknowledged writes."""
        until = len(self.acknowledged) + number

        async def enough() -> bool:
            return len(self.acknowledged) >= until

        await eventually(enough, within=30)

    def restart_gap(self) -> None:
        """Measure the longest gap from now on."""
        self.gap, self._last = 0.0, time.monotonic()

    async def close(self) -> None:
        """Write no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def stored(member: MemberProcess) -> set[str]:
    found: set[str] = set()
    request = pb.ListPrimariesRequest(page_size=1000)
    while True:
        page = await member.registry.ListPrimaries(request, timeout=10)
        found |= {primary.cluster_id for primary in page.primaries}
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token

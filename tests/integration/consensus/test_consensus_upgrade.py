"""Members of two releases side by side: the group speaks what all voters know, and refuses who knows less (18.4)."""

from __future__ import annotations

import contextlib
from pathlib import Path

import grpc
import pytest
from primacy.consensus.v1 import consensus_pb2 as pb

from services.shared.runtime.status import parse_error
from tests.integration.consensus.operating import Writer, add
from tests.support.consensus_group import Group, MemberProcess, consensus_group
from tests.support.eventually import eventually

SPOKEN = "PRIMACY_CONSENSUS_MAX_GROUP_VERSION"
OLD, NEW = "1", "2"


async def speaks(member: MemberProcess, version: int) -> None:
    """Wait until a member has applied that the group speaks a version."""

    async def spoken() -> bool:
        return (await member.status()).group_version == version

    await eventually(spoken, within=60, retry_on=grpc.aio.AioRpcError, message=lambda: member.output[-3000:])


async def logs(member: MemberProcess, text: str) -> None:
    async def told() -> bool:
        return text in member.output

    await eventually(told, within=60, message=lambda: member.output[-3000:])


async def answers(member: MemberProcess) -> pb.GetStatusResponse:
    """Return what a member that was just started says of itself."""
    status = await eventually(member.status, within=60, retry_on=grpc.aio.AioRpcError)
    assert status is not None
    return status


def restart(member: MemberProcess, version: str) -> None:
    """Replace a member's release by another."""
    member.kill()
    member.environment[SPOKEN] = version
    member.start()


async def upgraded_but_one(group: Group) -> tuple[MemberProcess, MemberProcess]:
    """Start an old group and upgrade all but one member, one after the other; return a new one and the old one."""
    for member in group.members:
        member.environment[SPOKEN] = OLD
        member.start()
    leader = await group.leader(within=90)
    *upgraded, old = (*group.others(leader), leader)
    for member in upgraded:
        restart(member, NEW)
        await group.agree(within=60)
    return upgraded[0], old


@pytest.mark.timeout(300)
async def test_group_speaks_a_newer_version_once_all_voters_do_and_refuses_who_is_too_old(tmp_path: Path) -> None:
    async with (
        contextlib.AsyncExitStack() as stack,
        consensus_group(tmp_path, extra={"profile": "wan", "version_stable": "1s"}) as group,
    ):
        new, old = await upgraded_but_one(group)
        writer = Writer(group, list(group.members))
        stack.push_async_callback(writer.close)
        await writer.count(20)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await new.group.RaiseGroupVersion(pb.RaiseGroupVersionRequest(version=2), timeout=10)
        error = parse_error(refused.value)
        assert error.reason == "VERSION_NOT_SUPPORTED"
        assert {(await member.status()).group_version for member in group.members} == {1}

        restart(old, NEW)
        for member in group.members:
            await speaks(member, 2)
        await writer.count(20)

        # A release that is rolled back too late is refused, by everybody and by name; the group goes on.
        restart(old, OLD)
        refusal = f"the group speaks version 2, member {old.member_id} 1..1"
        await logs(new, refusal)
        await logs(old, refusal)
        before = await answers(old)
        assert pb.BLOCKER_VERSION in before.blockers
        await writer.count(20)
        assert (await old.status()).commit_index == before.commit_index

        restart(old, NEW)
        await writer.close()
        await group.agree(within=60)


@pytest.mark.timeout(300)
async def test_member_that_is_too_old_is_not_taken_in(tmp_path: Path) -> None:
    extra = {"profile": "wan", "version_stable": "500ms", "max_group_version": NEW}
    async with contextlib.AsyncExitStack() as stack, consensus_group(tmp_path, extra=extra) as group:
        for member in group.members:
            member.start()
        leader = await group.leader(within=90)
        await speaks(leader, 2)
        late = await group.joiner(stack, 4)
        late.environment[SPOKEN] = OLD
        late.start()
        await add(leader, late)
        await logs(leader, "the group speaks version 2, member 4 1..1")
        found = {member.member_id: member for member in (await leader.status()).members}
        assert found[4].kind == pb.MEMBER_KIND_LEARNER
        assert (await answers(late)).commit_index == 0

        restart(late, NEW)

        async def votes() -> bool:
            members = (await leader.status()).members
            return any(member.member_id == 4 and member.kind == pb.MEMBER_KIND_VOTER for member in members)

        await eventually(votes, within=60, retry_on=grpc.aio.AioRpcError, message=lambda: late.output[-3000:])

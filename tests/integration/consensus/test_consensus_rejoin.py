"""A member that lost its store comes back: by an operator, or by itself (14.6; section 23, 2)."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from primacy.consensus.v1 import consensus_pb2 as pb

from tests.integration.consensus.operating import Writer, add, all_vote, stored
from tests.support.consensus_group import Group, MemberProcess, consensus_group, health, new_id
from tests.support.eventually import eventually


@contextlib.asynccontextmanager
async def loaded(directory: Path, *, auto_rejoin: bool = False) -> AsyncIterator[tuple[Group, Writer]]:
    """Run three members that know one another's stores, and a writer."""
    extra = {"auto_rejoin": str(auto_rejoin).lower(), "profile": "wan"}  # Nothing here depends on being fast.
    async with consensus_group(directory, extra=extra) as group:
        for member in group.members:
            member.start()
        leader = await group.leader(within=90)
        writer = Writer(group, list(group.members))
        try:
            await writer.count(20)
            await stores_are_known(leader)
            yield group, writer
        finally:
            await writer.close()


async def stores_are_known(leader: MemberProcess) -> None:
    """Wait until the group remembers whose store is whose."""

    async def known() -> bool:
        return all(member.incarnation for member in (await leader.status()).members)

    await eventually(known, within=40, retry_on=grpc.aio.AioRpcError)


def delete_all(member: MemberProcess) -> None:
    for file in member.directory.iterdir():
        if file.name != "output.log":
            file.unlink()


def flip_a_bit(member: MemberProcess) -> None:
    with contextlib.closing(sqlite3.connect(member.database, isolation_level=None)) as database:
        database.execute("UPDATE raft_vote SET current_term = current_term + 1")


async def comes_back(group: Group, member: MemberProcess, *, not_as: int) -> int:
    """Wait until all three vote, the member under a new id; return that."""

    async def votes() -> int:
        leader = await group.leader(among=group.others(member))
        found = {each.name: each for each in (await leader.status()).members}
        whole = len(found) == 3 and all(each.kind == pb.MEMBER_KIND_VOTER for each in found.values())
        own = (await member.status()).member.member_id
        return own if whole and found[member.name].member_id == own != not_as else 0

    return await eventually(votes, within=90, retry_on=grpc.aio.AioRpcError, message=lambda: member.output[-4000:])


async def has_all(member: MemberProcess, writer: Writer) -> None:
    async def found() -> bool:
        return set(writer.acknowledged) <= await stored(member)

    await eventually(found, within=40, retry_on=grpc.aio.AioRpcError)


@pytest.mark.timeout(300)
async def test_member_whose_database_is_deleted_comes_back_by_itself_under_load_and_again(tmp_path: Path) -> None:
    async with loaded(tmp_path, auto_rejoin=True) as (group, writer):
        leader = await group.leader()
        lost = group.others(leader)[0]
        change = pb.Member(member_id=lost.member_id, site="east", preference=10)
        await leader.group.UpdateMember(pb.UpdateMemberRequest(request_id=new_id(), member=change), timeout=10)
        lost.kill()
        delete_all(lost)
        lost.start()
        again = await comes_back(group, lost, not_as=lost.member_id)
        await stores_are_known(await group.leader())

        # It is that member from now on, whatever its settings say.
        lost.kill()
        lost.start()
        assert await comes_back(group, lost, not_as=0) == again

        lost.kill()
        delete_all(lost)
        lost.start()
        await comes_back(group, lost, not_as=again)
        found = await lost.status()
        assert not found.quarantine
        assert (found.member.site, found.member.preference) == ("east", 10), "what operators said of it is kept"

        # Its vote counts: without a third member each write needs it.
        leader = await group.leader()
        next(member for member in group.others(lost) if member is not leader).kill()
        await writer.count(20)
        await writer.close()
        await has_all(lost, writer)


@pytest.mark.timeout(300)
async def test_damaged_store_is_given_up_when_all_others_are_well_and_is_kept_for_who_wants_to_look(
    tmp_path: Path,
) -> None:
    async with loaded(tmp_path, auto_rejoin=True) as (group, writer):
        lost, absent = group.others(await group.leader())
        lost.kill()
        flip_a_bit(lost)
        before = entries(lost.database)
        absent.kill()
        lost.start()

        async def waits() -> bool:
            status = await lost.status()
            return "consensus.rejoin_waits" in lost.output and bool(status.quarantine)

        await eventually(waits, within=40, retry_on=grpc.aio.AioRpcError, message=lambda: lost.output[-3000:])
        absent.start()
        await comes_back(group, lost, not_as=lost.member_id)
        (told,) = (json.loads(line) for line in lost.output.splitlines() if '"consensus.audit"' in line)
        assert told["action"] == "rejoin"
        assert entries(Path(json.loads(told["detail"])["kept"])) == before
        await writer.close()
        await has_all(lost, writer)


def entries(database: Path) -> set[int]:
    """Return the indexes of the log in a database that is at rest."""
    copied = database.with_name("copied")
    for part in ("", "-wal"):
        if database.with_name(database.name + part).exists():
            shutil.copy(database.with_name(database.name + part), copied.with_name(copied.name + part))
    with contextlib.closing(sqlite3.connect(copied)) as connection:
        found = {index for (index,) in connection.execute("SELECT log_index FROM raft_log")}
    for file in copied.parent.glob("copied*"):
        file.unlink()
    return found


async def test_member_that_was_taken_out_stays_out(tmp_path: Path) -> None:
    async with loaded(tmp_path, auto_rejoin=True) as (group, _):
        leader = await group.leader()
        out = group.others(leader)[0]
        request = pb.RemoveMemberRequest(request_id=new_id(), member_id=out.member_id)
        await leader.group.RemoveMember(request, timeout=10)

        async def says_why() -> bool:
            return "it was taken out of the group" in out.output

        await eventually(says_why, within=40, message=lambda: out.output[-3000:])
        status = await leader.status()
        assert out.member_id not in {member.member_id for member in status.members}
        assert pb.BLOCKER_REMOVED in (await out.status()).blockers


async def test_member_whose_database_is_deleted_is_quarantined_and_an_operator_has_it_back_under_a_new_id(
    tmp_path: Path,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        group, writer = await stack.enter_async_context(loaded(tmp_path))
        leader = await group.leader()
        lost, other = group.others(leader)
        writer.members.remove(lost)
        lost.kill()
        delete_all(lost)
        lost.start()

        async def quarantined() -> bool:
            found = await lost.status()
            return pb.BLOCKER_QUARANTINED in found.blockers and "it lost what it promised" in found.quarantine

        await eventually(quarantined, within=40, retry_on=grpc.aio.AioRpcError)
        assert not await health(lost)
        lost.kill()

        out = pb.RemoveMemberRequest(request_id=new_id(), member_id=lost.member_id)
        await leader.group.RemoveMember(out, timeout=10)
        again = await group.joiner(stack, 9)
        again.start()
        await add(leader, again)
        await all_vote(again, {leader.member_id, other.member_id, 9}, within=60)
        await writer.count(20)
        await writer.close()
        await has_all(again, writer)

"""What operators do to a real group: members come and go, leadership moves, processes stop, while writers write."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import grpc
import pytest
from google.protobuf import duration_pb2
from primacy.consensus.v1 import consensus_pb2 as pb

from services.shared.runtime.status import parse_error
from tests.integration.consensus.operating import Writer, add, all_vote, described, stored, voters
from tests.support.consensus_group import Group, MemberProcess, acquire, consensus_group, health, new_id, read, register
from tests.support.eventually import eventually

VISIBLE_S = 1.0  # Pushed, not asked for now and then; 0.1 s on a machine that does nothing else.
"""How soon a watch shows a change (section 23, 1)."""


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    async with consensus_group(tmp_path) as group:
        for member in group.members:
            member.start()
        yield group


@pytest.fixture
async def stack() -> AsyncIterator[contextlib.AsyncExitStack]:
    async with contextlib.AsyncExitStack() as stack:
        yield stack


async def refused(call: Awaitable[object]) -> tuple[str, str]:
    """Return reason and blocker of a refused call."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = parse_error(caught.value)
    return error.reason, error.metadata.get("blocker", error.metadata.get("outcome", ""))


class Watch:
    """Follows one member's `WatchLeader` and remembers when each message came."""

    def __init__(self, member: MemberProcess) -> None:
        self.seen: list[tuple[float, pb.WatchLeaderResponse]] = []
        self._call = member.group.WatchLeader(pb.WatchLeaderRequest())
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for message in self._call:
            self.seen.append((time.monotonic(), message))

    async def shows(self, since: float, condition: Callable[[pb.WatchLeaderResponse], bool]) -> float:
        """Wait until a message shows something; return how long after `since` it came."""

        async def found() -> float | None:
            return next((at for at, message in self.seen if condition(message)), None)

        at = await eventually(found, within=5)
        assert at is not None
        return at - since

    def close(self) -> None:
        self._call.cancel()
        self._task.cancel()


@pytest.fixture
async def writer(group: Group) -> AsyncIterator[Writer]:
    writer = Writer(group, list(group.members))
    yield writer
    await writer.close()


async def test_operators_change_the_group_in_one_call_each_and_watches_show_it_at_once(
    group: Group, stack: contextlib.AsyncExitStack
) -> None:
    leader = await group.leader()
    fourth = await group.joiner(stack, 4)
    fourth.start()
    watch = Watch(leader)
    stack.callback(watch.close)
    await all_vote(leader, {1, 2, 3})

    started = time.monotonic()
    added = await add(leader, fourth, auto_promote=False)
    assert added.member_id == 4
    assert (
        await watch.shows(time.monotonic(), lambda seen: 4 in {member.member_id for member in seen.members}) < VISIBLE_S
    )
    assert {member.member_id for member in added.members} == {1, 2, 3, 4}
    assert watch.seen[-1][1].configuration_index == added.configuration_index
    assert voters(list(added.members)) == {1, 2, 3}
    assert time.monotonic() - started < 5

    async def promoted() -> pb.PromoteMemberResponse:
        return await leader.group.PromoteMember(pb.PromoteMemberRequest(request_id=new_id(), member_id=4), timeout=5)

    answer = await eventually(promoted, within=20, retry_on=grpc.aio.AioRpcError)
    assert answer is not None
    assert voters(list(answer.members)) == {1, 2, 3, 4}
    assert any("4 voters" in warning for warning in answer.warnings)
    assert await watch.shows(time.monotonic(), lambda seen: 4 in voters(list(seen.members))) < VISIBLE_S

    out = group.others(leader)[0]
    request = pb.RemoveMemberRequest(request_id=new_id(), member_id=out.member_id)
    removed = await leader.group.RemoveMember(request, timeout=5)
    assert out.member_id not in {member.member_id for member in removed.members}
    assert (
        await watch.shows(
            time.monotonic(),
            lambda seen: out.member_id not in voters(list(seen.members)) and 4 in voters(list(seen.members)),
        )
        < VISIBLE_S
    )
    again = await leader.group.RemoveMember(request, timeout=5)
    assert {member.member_id for member in again.members} == {member.member_id for member in removed.members}

    async def knows_it_is_out() -> bool:
        return pb.BLOCKER_REMOVED in (await out.status()).blockers

    await eventually(knows_it_is_out, within=10)

    target = 4
    moved = await leader.group.TransferLeadership(pb.TransferLeadershipRequest(member_id=target), timeout=15)
    assert (moved.leader.member_id, moved.term) == (target, (await fourth.status()).term)
    assert await watch.shows(time.monotonic(), lambda seen: seen.leader.member_id == target) < VISIBLE_S

    span = duration_pb2.Duration(seconds=5)
    stepped = await fourth.group.StepDown(pb.StepDownRequest(hold=span), timeout=15)
    assert stepped.leader.member_id not in (0, 4, out.member_id)
    assert (
        await watch.shows(
            time.monotonic(),
            lambda seen: seen.term == stepped.term and seen.leader.member_id == stepped.leader.member_id,
        )
        < VISIBLE_S
    )


async def taken(member: MemberProcess, request: pb.ReplaceMemberRequest) -> bool:
    """Ask for a replacement; False when nobody leads at that moment: the same request may be repeated."""
    try:
        answer = await member.group.ReplaceMember(request, timeout=10)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False
    return answer.replacement.new_member.member_id == request.new_member.member_id


async def test_every_member_is_replaced_one_by_one_under_load(
    group: Group, writer: Writer, stack: contextlib.AsyncExitStack
) -> None:
    await group.leader()
    running = list(group.members)
    for old_id, new_id_ in ((1, 11), (2, 12), (3, 13)):
        new = await group.joiner(stack, new_id_)
        new.start()
        request = pb.ReplaceMemberRequest(request_id=new_id(), old_member_id=old_id, new_member=described(new))
        await eventually(partial(taken, running[-1], request), within=30)
        writer.members.append(new)
        old = next(member for member in running if member.member_id == old_id)
        running = [*(member for member in running if member is not old), new]
        await all_vote(new, {member.member_id for member in running}, within=40)
        writer.members.remove(old)
        old.kill()
        await writer.count(20)
    await writer.close()

    assert {member.member_id for member in running} == {11, 12, 13}
    leader = await group.leader(among=tuple(running))
    assert set(writer.acknowledged) <= await stored(leader)
    status = await leader.status()
    assert [each.state for each in status.replacements] == []
    assert all(member.incarnation for member in status.members)


async def test_transfer_under_load_costs_writers_little_and_loses_nothing(group: Group, writer: Writer) -> None:
    await group.leader()
    await writer.count(50)
    gaps = []
    for _ in range(4):
        leader = await group.leader()
        writer.restart_gap()
        moved = await leader.group.TransferLeadership(pb.TransferLeadershipRequest(), timeout=15)
        assert moved.leader.member_id != leader.member_id
        await writer.count(50)
        gaps.append(writer.gap)
    await writer.close()

    assert min(gaps) < 0.3, gaps
    assert set(writer.acknowledged) <= await stored(await group.leader())


async def test_leader_that_is_told_to_stop_hands_over_first(group: Group, writer: Writer) -> None:
    leader = await group.leader()
    await writer.count(50)
    term = (await leader.status()).term
    writer.restart_gap()
    started = time.monotonic()
    leader.signal(signal.SIGTERM)
    assert await asyncio.to_thread(leader.wait) == 0
    took = time.monotonic() - started
    writer.members.remove(leader)
    await writer.count(50)
    successor = await group.leader(among=group.others(leader))
    await writer.close()

    assert took < 10
    assert "consensus.handed_over" in leader.output
    assert (await successor.status()).term == term + 1  # No election: nobody waited for a silence.
    assert writer.gap < 2, writer.gap  # The benchmark measures it on a calm machine.
    assert set(writer.acknowledged) <= await stored(successor)


async def test_dangerous_changes_are_refused_with_a_named_blocker(
    group: Group, stack: contextlib.AsyncExitStack
) -> None:
    leader = await group.leader()
    await all_vote(leader, {1, 2, 3})
    others = group.others(leader)

    itself = pb.RemoveMemberRequest(request_id=new_id(), member_id=leader.member_id)
    assert await refused(leader.group.RemoveMember(itself, timeout=5)) == ("CHANGE_BLOCKED", "LEADER_ITSELF")
    stranger = pb.PromoteMemberRequest(request_id=new_id(), member_id=99)
    assert await refused(leader.group.PromoteMember(stranger, timeout=5)) == ("CHANGE_BLOCKED", "UNKNOWN_MEMBER")
    twin = described(others[0])
    twin.member_id = 77
    taken = pb.AddMemberRequest(request_id=new_id(), member=twin)
    assert await refused(leader.group.AddMember(taken, timeout=5)) == ("CHANGE_BLOCKED", "ALREADY_MEMBER")
    absent = await group.joiner(stack, 5)
    await add(leader, absent, auto_promote=False)
    early = pb.PromoteMemberRequest(request_id=new_id(), member_id=5)
    assert await refused(leader.group.PromoteMember(early, timeout=5)) == ("CHANGE_BLOCKED", "NOT_CAUGHT_UP")
    unfit = pb.TransferLeadershipRequest(member_id=5)
    assert await refused(leader.group.TransferLeadership(unfit, timeout=15)) == ("TRANSFER_REFUSED", "UNFIT_TARGET")

    others[0].kill()

    async def none_to_spare() -> bool:
        return (await leader.status()).quorum_spare == 0

    await eventually(none_to_spare, within=5)
    risky = pb.RemoveMemberRequest(request_id=new_id(), member_id=others[1].member_id, validate_only=True)
    assert await refused(leader.group.RemoveMember(risky, timeout=5)) == ("CHANGE_BLOCKED", "QUORUM_AT_RISK")
    risky.force = True
    assert len((await leader.group.RemoveMember(risky, timeout=5)).members) == 3


async def test_nothing_changes_when_a_change_is_only_validated(group: Group, stack: contextlib.AsyncExitStack) -> None:
    leader = await group.leader()
    before = await all_vote(leader, {1, 2, 3})
    fourth = described(await group.joiner(stack, 4))
    request = pb.AddMemberRequest(request_id=new_id(), member=fourth, validate_only=True)
    assert len((await leader.group.AddMember(request, timeout=5)).members) == 4
    out = pb.RemoveMemberRequest(request_id=new_id(), member_id=group.others(leader)[0].member_id, validate_only=True)
    assert len((await leader.group.RemoveMember(out, timeout=5)).members) == 2
    moved = await leader.group.TransferLeadership(pb.TransferLeadershipRequest(validate_only=True), timeout=5)
    assert moved.leader.member_id in {member.member_id for member in group.others(leader)}
    assert moved.term == 0
    settings = pb.SetGroupSettingsRequest(request_id=new_id(), validate_only=True)
    settings.settings.heartbeat.FromMilliseconds(50)
    assert (await leader.group.SetGroupSettings(settings, timeout=5)).log_index == 0
    settings.settings.heartbeat.FromMilliseconds(5000)
    assert (await refused(leader.group.SetGroupSettings(settings, timeout=5)))[0] == "INVALID_SETTINGS"
    assert (
        await leader.group.RaiseGroupVersion(pb.RaiseGroupVersionRequest(validate_only=True), timeout=5)
    ).version == 1
    too_new = pb.RaiseGroupVersionRequest(version=9)
    assert (await refused(leader.group.RaiseGroupVersion(too_new, timeout=5)))[0] == "VERSION_NOT_SUPPORTED"

    after = await leader.status()
    assert (list(after.members), after.term) == (list(before.members), before.term)


async def test_settings_of_the_group_reach_every_member(group: Group) -> None:
    leader = await group.leader()
    request = pb.SetGroupSettingsRequest(request_id=new_id())
    request.settings.heartbeat.FromMilliseconds(40)
    request.settings.election_min.FromMilliseconds(400)
    request.settings.election_max.FromMilliseconds(800)
    follower = group.others(leader)[0]
    agreed = await follower.group.SetGroupSettings(request, timeout=5)
    assert agreed.settings.election_min.ToMilliseconds() == 400
    assert agreed.settings.clock_drift_ppm == 10_000

    for member in group.members:

        async def reached(member: MemberProcess = member) -> bool:
            found = await member.group.GetGroupSettings(pb.GetGroupSettingsRequest(), timeout=5)
            return found == pb.GetGroupSettingsResponse(settings=agreed.settings, log_index=agreed.log_index)

        await eventually(reached, within=5)


async def test_running_step_delays_a_transfer_and_force_does_not_wait_for_ever(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, extra={"transfer_drain": "1s"}) as group:
        for member in group.members:
            member.start()
        leader = await group.leader()
        grant = await acquire(leader)
        token = grant.lease.fencing_token
        record = await register(leader, token)
        intent = pb.RecordStepRequest(recovery_id=record.recovery_id, fencing_token=token)
        intent.step.number, intent.step.phase = 1, pb.StepRecord.PHASE_INTENT
        await leader.journal.RecordStep(intent, timeout=5)
        session = leader.leases.KeepAlive()
        name = pb.KeepAliveRequest(name="recovery", session_id=grant.lease.session_id, fencing_token=token)
        await session.write(name)
        assert (await read(session)).state == pb.KeepAliveResponse.STATE_LIVE

        transfer = asyncio.ensure_future(
            refused(leader.group.TransferLeadership(pb.TransferLeadershipRequest(), timeout=15))
        )

        async def draining() -> bool:
            return bool((await read(session)).state == pb.KeepAliveResponse.STATE_DRAINING)

        await eventually(draining, within=5)
        assert (await leader.status()).draining
        another = pb.RecordStepRequest(recovery_id=record.recovery_id, fencing_token=token)
        another.step.number, another.step.phase = 2, pb.StepRecord.PHASE_INTENT
        assert (await refused(leader.journal.RecordStep(another, timeout=5)))[0] == "NO_LEADER"
        assert await transfer == ("TRANSFER_REFUSED", "NOT_DRAINED")
        assert not (await leader.status()).draining
        await leader.journal.RecordStep(another, timeout=5)

        both = pb.RecordStepRequest(recovery_id=record.recovery_id, fencing_token=token)
        both.step.number, both.step.phase = 1, pb.StepRecord.PHASE_DONE
        both.more_steps.add(number=2, phase=pb.StepRecord.PHASE_DONE)
        moving = asyncio.ensure_future(leader.group.TransferLeadership(pb.TransferLeadershipRequest(), timeout=15))
        await eventually(draining, within=5)
        await leader.journal.RecordStep(both, timeout=5)
        assert (await moving).leader.member_id != leader.member_id

        async def lost() -> bool:
            return bool((await read(session)).state == pb.KeepAliveResponse.STATE_LOST)

        await eventually(lost, within=5)


async def test_preferred_member_is_given_leadership(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, extra={"preference_stable": "500ms"}) as group:
        for member in group.members:
            member.start()
        leader = await group.leader()
        preferred = group.others(leader)[0]
        change = pb.Member(member_id=preferred.member_id, preference=90, site="east")
        updated = await leader.group.UpdateMember(
            pb.UpdateMemberRequest(request_id=new_id(), member=change), timeout=10
        )
        assert {member.member_id: member.preference for member in updated.members}[preferred.member_id] == 90

        async def leads() -> bool:
            return (await preferred.status()).role == pb.ROLE_LEADER

        await eventually(leads, within=15)


async def test_two_updates_of_a_member_at_once_are_both_made(group: Group) -> None:
    leader = await group.leader()
    changes = (pb.Member(member_id=1, preference=70), pb.Member(member_id=1, site="east"))
    requests = (pb.UpdateMemberRequest(request_id=new_id(), member=change) for change in changes)
    await asyncio.gather(*(leader.group.UpdateMember(request, timeout=10) for request in requests))
    found = (await leader.status()).members[0]
    assert (found.member_id, found.preference, found.site) == (1, 70, "east")


async def test_leader_whose_recovery_is_silent_hands_over_to_one_whose_recovery_is_alive(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, extra={"readiness_grace": "1500ms"}) as group:
        for member in group.members:
            member.start()
        leader = await group.leader()
        alive = group.others(leader)[0]
        session = alive.leases.KeepAlive()

        async def beat() -> None:
            while True:
                await session.write(pb.KeepAliveRequest(name="recovery", session_id=new_id()))
                await asyncio.sleep(0.3)

        beats = asyncio.create_task(beat())
        try:

            async def leads() -> bool:
                return (await alive.status()).role == pb.ROLE_LEADER and await health(alive, "primacy.leader")

            await eventually(leads, within=15)
        finally:
            beats.cancel()
            session.cancel()
            await asyncio.gather(beats, return_exceptions=True)

        async def says_so() -> bool:
            status = await (await group.leader()).status()
            return pb.BLOCKER_NOT_READY in status.blockers and not await health(alive, "primacy.leader")

        await eventually(says_so, within=15)


async def test_group_survives_each_death_in_turn_a_pause_of_its_leader_and_a_restart_of_all_under_load(
    group: Group, writer: Writer
) -> None:
    await group.leader()
    for member in group.members:
        member.kill()
        await writer.count(20)
        member.start()
        await group.leader()
    paused = await group.leader()
    paused.signal(signal.SIGSTOP)
    await group.leader(among=group.others(paused))
    await writer.count(20)
    paused.signal(signal.SIGCONT)
    for member in group.members:
        member.kill()
    for member in group.members:
        member.start()
    await writer.count(20)
    await writer.close()

    await group.agree(within=20)
    for member in group.members:
        assert set(writer.acknowledged) <= await stored(member)


async def test_all_members_told_to_stop_at_once_stop_soon(group: Group) -> None:
    await group.leader()
    started = time.monotonic()
    for member in group.members:
        member.signal(signal.SIGTERM)
    assert await asyncio.gather(*(asyncio.to_thread(member.wait) for member in group.members)) == [0, 0, 0]
    assert time.monotonic() - started < 10


async def test_stop_is_not_held_up_by_a_store_that_takes_no_writes(group: Group) -> None:
    leader = await group.leader()
    with contextlib.closing(sqlite3.connect(leader.database, isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        leader.signal(signal.SIGTERM)
        assert await asyncio.to_thread(leader.wait) == 0
        assert time.monotonic() - started < 12

"""The loop of one member: what waits for the disk, who gets an answer, when it stops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from services.consensus.errors import LeaseHeld, OutcomeUnknown
from services.consensus.member_loop import EXIT_HALTED, ChangeRefused, MemberLoop, NotLeading
from services.consensus.ports import EXIT_STORE, Broken, Trouble, Written
from services.consensus.raft.configuration import Configuration, GroupMember
from services.consensus.raft.core import RaftCore
from services.consensus.raft.events import AddLearner
from services.consensus.raft.messages import (
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    PreVoteRequest,
    PreVoteResponse,
    VoteRefusal,
    VoteRequest,
    VoteResponse,
)
from services.consensus.raft.model import (
    MILLISECOND,
    BootState,
    CoreSettings,
    Entry,
    EntryKind,
    HardState,
    LogMark,
    StoreHealth,
)
from services.consensus.raft.outputs import ChangeBlocker, Outgoing, TransferOutcome
from services.consensus.state.commands import GrantLease
from services.consensus.state.group_commands import SetGroupSettings
from services.consensus.state.lease_table import Lease
from services.consensus.state.machine import Machine
from services.consensus.state.registry.origin import Origin
from services.consensus.store_health import StoreWatch
from services.consensus.store_write import StoreWrite
from services.shared.runtime.clock import boottime_ns
from tests.support.eventually import eventually
from tests.support.raft import group_of

GRANT = GrantLease("recovery", 1, "s1")


class World:
    """A member with a disk that can be held and peers that agree to everything."""

    def __init__(self, voters: tuple[int, ...], boot: BootState) -> None:
        self.writes: list[StoreWrite] = []
        self.sent: list[Outgoing] = []
        self.halted: list[tuple[int, str]] = []
        self.configured: list[Configuration] = []
        self.disk_held = False
        self._unfinished: list[StoreWrite] = []
        settings = CoreSettings(
            member_id=1,
            heartbeat=10 * MILLISECOND,
            election_min=40 * MILLISECOND,
            election_max=60 * MILLISECOND,
        )
        self.loop = MemberLoop(
            RaftCore(settings, replace(boot, configuration=group_of(*voters)), seed=1, now=boottime_ns()),
            Machine(),
            settings,
            tick_ns=2 * MILLISECOND,
            watch=StoreWatch(slow_ns=250 * MILLISECOND, stall_ns=2_000 * MILLISECOND),
            clock=boottime_ns,
            wall_clock=lambda: 1_000,
            halt=lambda exit_code, why: self.halted.append((exit_code, why)),
            group_id=lambda: "g",
        )
        self.loop.start(self, self)

    def submit(self, write: StoreWrite) -> None:
        self.writes.append(write)
        self._unfinished.append(write)
        if not self.disk_held:
            asyncio.get_running_loop().call_soon(self.let_disk_finish)

    def probe(self) -> None:
        """No test gets that far."""

    def let_disk_finish(self) -> None:
        finished, self._unfinished = self._unfinished, []
        for write in finished:
            self.loop.report(Written(write.number, 1))

    def send(self, outgoing: Outgoing) -> None:
        self.sent.append(outgoing)
        message = outgoing.message
        if isinstance(message, PreVoteRequest):
            self.loop.receive(PreVoteResponse(outgoing.to, message.term, message.term, VoteRefusal.NONE))
        elif isinstance(message, VoteRequest):
            self.loop.receive(VoteResponse(outgoing.to, message.term, message.term, VoteRefusal.NONE))

    def configure(self, configuration: Configuration) -> None:
        self.configured.append(configuration)

    def send_snapshot(self, member_id: int, mark: LogMark, data: bytes) -> None:
        """No test gets that far."""

    def said(self, kind: type) -> bool:
        return any(isinstance(outgoing.message, kind) for outgoing in self.sent)

    def wrote(self, kind: EntryKind) -> bool:
        return any(_has(write, kind) for write in self.writes)

    async def lead(self) -> None:
        await eventually(self.loop.leads_with_lease, within=5)


def _has(write: StoreWrite, kind: EntryKind) -> bool:
    return any(entry.kind is kind for entry in write.entries)


@contextlib.contextmanager
def world(*voters: int, boot: BootState | None = None) -> Iterator[World]:
    made = World(voters, boot or BootState())
    try:
        yield made
    finally:
        made.loop.stop()


async def test_answer_is_what_applying_gave() -> None:
    with world(1) as alone:
        await alone.lead()
        lease = await alone.loop.propose(GRANT, 5)
        assert isinstance(lease, Lease)
        assert await alone.loop.propose(GrantLease("recovery", 1, "s2"), 5) == LeaseHeld(
            "recovery", 1, "s1", lease.fencing_token
        )


async def test_nothing_is_answered_before_it_is_durable() -> None:
    with world(1) as alone:
        await alone.lead()
        alone.disk_held = True
        answer = asyncio.ensure_future(alone.loop.propose(GRANT, 5))
        await eventually(lambda: alone.wrote(EntryKind.COMMAND), within=5)
        assert not answer.done()
        assert alone.loop.machine.leases.live() == ()
        alone.let_disk_finish()
        assert isinstance(await answer, Lease)


async def test_vote_is_asked_for_only_when_the_own_vote_is_durable() -> None:
    with world(1, 2, 3) as member:
        member.disk_held = True

        def voted() -> bool:
            return any(write.hard_state is not None and write.hard_state.voted_for == 1 for write in member.writes)

        await eventually(voted, within=5)
        assert member.said(PreVoteRequest)
        assert not member.said(VoteRequest)
        member.let_disk_finish()
        await eventually(lambda: member.said(VoteRequest), within=5)


async def test_state_rows_are_written_with_their_mark_and_never_before_their_entries() -> None:
    with world(1) as alone:
        await alone.lead()
        lease = await alone.loop.propose(GRANT, 5)
        assert isinstance(lease, Lease)
        await eventually(lambda: any(write.changes for write in alone.writes), within=5)
        written = next(
            n for n, write in enumerate(alone.writes) if any(e.index == lease.fencing_token for e in write.entries)
        )
        stated = next(n for n, write in enumerate(alone.writes) if write.changes)
        assert written < stated
        mark = alone.writes[stated].mark
        assert mark is not None
        assert mark.applied_index >= lease.fencing_token


async def test_member_that_does_not_lead_writes_nothing() -> None:
    with world(1, 2, 3) as member, pytest.raises(NotLeading):
        await member.loop.propose(GRANT, 5)
    assert not any(write.entries for write in member.writes)


async def test_deadline_leaves_the_outcome_open() -> None:
    with world(1) as alone:
        await alone.lead()
        alone.disk_held = True
        with pytest.raises(OutcomeUnknown):
            await alone.loop.propose(GRANT, 0.02)


async def test_end_leaves_the_outcome_open() -> None:
    with world(1) as alone:
        await alone.lead()
        alone.disk_held = True
        answer = asyncio.ensure_future(alone.loop.propose(GRANT, 5))
        await eventually(lambda: alone.loop.status().last_index > 1, within=5)
        alone.loop.stop()
        with pytest.raises(OutcomeUnknown):
            await answer


async def test_store_in_trouble_ends_leadership() -> None:
    with world(1) as alone:
        await alone.lead()
        alone.loop.report(Trouble(StoreHealth.FULL, "disk is full"))
        await eventually(lambda: not alone.loop.leads_with_lease(), within=5)
        with pytest.raises(NotLeading):
            await alone.loop.propose(GRANT, 5)


async def test_broken_store_halts_and_answers_nothing_more() -> None:
    with world(1) as alone:
        await alone.lead()
        alone.loop.report(Broken("disk I/O error"))
        alone.loop.report(Broken("disk I/O error"))
        assert alone.halted == [(EXIT_STORE, "store: disk I/O error")]
        assert not alone.loop.leads_with_lease()


async def test_command_of_a_newer_version_halts_before_it_is_applied() -> None:
    newer = Entry(1, 1, EntryKind.COMMAND, 0, b'{"kind":"fly","version":2}')
    with world(1, boot=BootState(HardState(1, 1), (newer,))) as alone:
        await eventually(lambda: alone.halted, within=5)
        assert alone.halted[0][0] == EXIT_HALTED
        assert "newer version" in alone.halted[0][1]
        assert alone.loop.machine.mark.applied_index == 0


async def test_read_waits_for_what_was_committed_before() -> None:
    with world(1) as alone:
        await alone.lead()
        lease = await alone.loop.propose(GRANT, 5)
        assert isinstance(lease, Lease)
        await alone.loop.read_barrier(5)
        assert alone.loop.machine.mark.applied_index >= lease.fencing_token


async def test_only_the_leader_answers_reads_of_the_newest_state() -> None:
    with world(1, 2, 3) as member, pytest.raises(NotLeading):
        await member.loop.read_barrier(5)


async def test_change_of_the_group_is_answered_when_it_is_applied() -> None:
    """Section 9: the transport follows it from append."""
    with world(1) as alone:
        await alone.lead()
        assert alone.loop.judge_change(AddLearner(GroupMember(2))) is None
        changed = await alone.loop.change_members(AddLearner(GroupMember(2)), 5)
        assert changed.ids == (1, 2)
        assert alone.loop.configuration == alone.configured[-1] == changed
        assert alone.loop.machine.mark.configuration == changed


async def test_refused_change_names_the_blocker() -> None:
    """M6."""
    with world(1) as alone:
        await alone.lead()
        with pytest.raises(ChangeRefused) as refused:
            await alone.loop.change_members(AddLearner(GroupMember(1)), 5)
        assert refused.value.blocker is ChangeBlocker.ALREADY_MEMBER


async def test_follower_changes_and_judges_nothing() -> None:
    with world(1, 2, 3) as member:
        with pytest.raises(NotLeading):
            await member.loop.change_members(AddLearner(GroupMember(4)), 5)
        with pytest.raises(NotLeading):
            member.loop.judge_change(AddLearner(GroupMember(4)))


async def test_transfer_without_anybody_is_a_result() -> None:
    """8.1."""
    with world(1) as alone:
        await alone.lead()
        result = await alone.loop.transfer(0, 5, drain_ns=MILLISECOND)
        assert result.outcome is TransferOutcome.NO_TARGET
        assert alone.loop.leads_with_lease()


async def test_quarantine_ends_leadership_and_is_written_down() -> None:
    """14.6."""
    with world(1) as alone:
        await alone.lead()
        alone.loop.set_quarantine("a clone")
        await eventually(lambda: alone.loop.quarantine == "a clone", within=5)
        assert not alone.loop.leads_with_lease()
        assert any(write.quarantine == "a clone" for write in alone.writes)


async def test_digest_of_every_256th_entry_is_told_to_the_leader() -> None:
    """A4."""
    noops = tuple(Entry(index, 1, EntryKind.NOOP, 0, b"") for index in range(1, 301))
    with world(1, 2, 3) as member:
        member.loop.receive(AppendRequest(2, 1, 0, 0, noops[:256], 256, 1, 1))
        await eventually(lambda: member.loop.machine.mark.applied_index == 256, within=5)
        digest = member.loop.machine.mark.digest
        member.loop.receive(AppendRequest(2, 1, 256, 1, noops[256:], 300, 2, 1))
        await eventually(lambda: member.loop.machine.mark.applied_index == 300, within=5)
        member.loop.receive(Heartbeat(2, 1, 300, 3, 1, 1))
        await eventually(lambda: member.said(HeartbeatAck), within=5)
        (answer,) = [sent.message for sent in member.sent if isinstance(sent.message, HeartbeatAck)]
        assert (answer.digest_index, answer.digest) == (256, digest)


async def test_agreed_timers_are_in_force_when_they_are_applied() -> None:
    """18.5."""
    with world(1) as alone:
        await alone.lead()
        await alone.loop.change_members(AddLearner(GroupMember(2)), 5)
        timers = (5 * MILLISECOND, 77 * MILLISECOND, 150 * MILLISECOND, 10_000)
        await alone.loop.propose(SetGroupSettings(Origin("r1"), *timers), 5)
        await eventually(lambda: 77 * MILLISECOND in _promises_asked_for(alone), within=5)


def _promises_asked_for(leader: World) -> set[int]:
    return {sent.message.promise_ns for sent in leader.sent if isinstance(sent.message, Heartbeat)}

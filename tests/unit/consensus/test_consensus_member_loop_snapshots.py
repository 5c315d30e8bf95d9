"""The loop of one member: compaction, snapshots to others, a snapshot that replaces its own state (15)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import pytest

from services.consensus.member_loop import MemberLoop
from services.consensus.ports import Written
from services.consensus.raft.configuration import Configuration
from services.consensus.raft.core import RaftCore
from services.consensus.raft.messages import AppendRequest
from services.consensus.raft.model import MILLISECOND, BootState, CoreSettings, Entry, EntryKind, LogMark, Role
from services.consensus.raft.outputs import Outgoing
from services.consensus.raft.retention import Retention
from services.consensus.snapshot_sending import MAX_OUTGOING, SnapshotSending
from services.consensus.state.commands import GrantLease
from services.consensus.state.machine import Machine, Mark
from services.consensus.state.rows import LEASES, Row
from services.consensus.state.snapshot import SnapshotRefused, encode_snapshot
from services.consensus.store_health import StoreWatch
from services.consensus.store_write import StoreWrite
from services.shared.runtime.clock import boottime_ns
from tests.support.eventually import eventually
from tests.support.raft import group_of

GROUP = "g"
BLANK = Mark(configuration=group_of(1, 2, 3))
LIMITS = Retention(snapshot_entries=20, trailing_entries=5, follower_memory=100 * MILLISECOND)


class Seat:
    """A member of a group in one process, with a disk that can be held and links that can be cut."""

    def __init__(self, member_id: int, members: dict[int, Seat]) -> None:
        self.member_id = member_id
        self.writes: list[StoreWrite] = []
        self.sent: list[Outgoing] = []
        self.snapshots: list[tuple[int, LogMark, bytes]] = []
        self.halted: list[str] = []
        self.disk_held = self.transfers_held = self.cut = False
        self._unfinished: list[StoreWrite] = []
        self._members = members
        self._tasks: set[asyncio.Task[None]] = set()
        settings = CoreSettings(
            member_id, heartbeat=20 * MILLISECOND, election_min=600 * MILLISECOND, election_max=700 * MILLISECOND
        )
        boot = BootState(configuration=BLANK.configuration)
        self.loop = MemberLoop(
            RaftCore(settings, boot, seed=member_id, now=boottime_ns()),
            Machine(BLANK),
            settings,
            tick_ns=5 * MILLISECOND,
            watch=StoreWatch(slow_ns=250 * MILLISECOND, stall_ns=20_000 * MILLISECOND),
            clock=boottime_ns,
            wall_clock=lambda: 1_000,
            halt=lambda _, why: self.halted.append(why),
            group_id=lambda: GROUP,
            retention=LIMITS,
        )
        self.loop.start(self, self)

    def submit(self, write: StoreWrite) -> None:
        self.writes.append(write)
        self._unfinished.append(write)
        if not self.disk_held:
            asyncio.get_running_loop().call_soon(self.let_disk_finish)

    def probe(self) -> None:
        """No test gets that far."""

    def configure(self, configuration: Configuration) -> None:
        """All are reached anyway."""

    def let_disk_finish(self, count: int | None = None) -> None:
        finished, self._unfinished = self._unfinished[:count], self._unfinished[count:] if count else []
        for write in finished:
            self.loop.report(Written(write.number, 1))

    def send(self, outgoing: Outgoing) -> None:
        self.sent.append(outgoing)
        other = self._members.get(outgoing.to)
        if other is not None and not self.cut and not other.cut:
            asyncio.get_running_loop().call_soon(other.loop.receive, outgoing.message)

    def send_snapshot(self, member_id: int, mark: LogMark, data: bytes) -> None:
        self.snapshots.append((member_id, mark, data))
        if not self.transfers_held:
            self.let_transfer_finish(member_id, mark, data)

    def let_transfer_finish(self, member_id: int, mark: LogMark, data: bytes) -> None:
        task = asyncio.ensure_future(self._transfer(member_id, mark, data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _transfer(self, member_id: int, mark: LogMark, data: bytes) -> None:
        delivered = await self._members[member_id].loop.install_snapshot(data, self.member_id)
        self.loop.snapshot_sent(member_id, mark, delivered=delivered)

    @property
    def installs(self) -> list[StoreWrite]:
        return [write for write in self.writes if write.install is not None]

    def state(self) -> tuple[object, dict[str, list[Row]]]:
        return self.loop.machine.mark, {name: sorted(rows) for name, rows in self.loop.machine.tables().items()}


@contextlib.contextmanager
def group(*ids: int) -> Iterator[dict[int, Seat]]:
    members: dict[int, Seat] = {}
    members.update((member_id, Seat(member_id, members)) for member_id in ids)
    try:
        yield members
        assert [seat.halted for seat in members.values()] == [[] for _ in ids]
    finally:
        for seat in members.values():
            seat.loop.stop()


async def _leader(members: Mapping[int, Seat]) -> Seat:
    def leading() -> Seat | None:
        return next((seat for seat in members.values() if seat.loop.leads_with_lease()), None)

    await eventually(lambda: leading() is not None, within=10)
    found = leading()
    assert found is not None
    return found


async def _grant(leader: Seat, names: Sequence[int]) -> None:
    for number in names:
        await leader.loop.propose(GrantLease(f"lease{number:03}", 1, "s"), 10)


def _is_compacted(seat: Seat) -> bool:
    return seat.loop.status().mark.index > 20


def _snapshot_of(count: int, term: int = 1) -> tuple[Machine, bytes]:
    machine = Machine(BLANK)
    for index in range(1, count + 1):
        machine.apply(index, term, 1_000, GrantLease(f"lease{index:03}", 1, "s"))
    return machine, b"".join(encode_snapshot(machine.mark, machine.tables(), GROUP))


async def _follow(seat: Seat, *commands: Entry) -> None:
    """Let a member follow member 2, which nobody runs."""
    seat.loop.receive(AppendRequest(2, 1, 0, 0, commands, len(commands), 1, 50 * MILLISECOND))
    await eventually(lambda: seat.loop.machine.mark.applied_index == len(commands), within=10)


async def test_log_is_compacted_when_it_is_long() -> None:
    with group(1, 2, 3) as members:
        leader = await _leader(members)
        await _grant(leader, range(60))
        for seat in members.values():
            await eventually(partial(_is_compacted, seat), within=10)
            ordered = [write.compact_to.index for write in seat.writes if write.compact_to is not None]
            assert ordered == sorted(ordered)
            assert seat.loop.machine.mark.applied_index >= ordered[-1]


async def test_follower_that_was_away_goes_on_from_a_snapshot() -> None:
    with group(1, 2, 3) as members:
        leader = await _leader(members)
        away = next(seat for seat in members.values() if seat is not leader)
        await _grant(leader, range(3))
        await eventually(lambda: away.state() == leader.state(), within=10)
        away.cut = True
        await _grant(leader, range(3, 60))
        await eventually(partial(_is_compacted, leader), within=10)
        away.cut = False
        await eventually(lambda: bool(away.installs), within=10)
        await _grant(await _leader(members), range(60, 63))
        await eventually(lambda: len(away.loop.machine.leases.live()) == 63, within=10)
        leader = await _leader(members)
        await eventually(lambda: away.state() == leader.state(), within=10)


async def test_log_behind_a_snapshot_in_transit_is_kept() -> None:
    """N1: its receiver needs that next; otherwise it would need another snapshot, and another."""
    with group(1, 2, 3) as members:
        leader = await _leader(members)
        away = next(seat for seat in members.values() if seat is not leader)
        away.cut = leader.transfers_held = True
        await _grant(leader, range(40))
        await eventually(partial(_is_compacted, leader), within=10)
        away.cut = False
        await eventually(lambda: bool(leader.snapshots), within=10)
        member_id, mark, data = leader.snapshots[0]
        await _grant(leader, range(40, 100))
        other = next(seat for seat in members.values() if seat is not leader and seat is not away)
        await eventually(lambda: other.loop.status().mark.index > mark.index, within=10)
        assert leader.loop.status().mark.index <= mark.index
        leader.let_transfer_finish(member_id, mark, data)
        await eventually(lambda: away.state() == leader.state(), within=10)
        assert len(leader.snapshots) == 1


async def test_state_is_swapped_when_the_snapshot_is_durable_and_not_before() -> None:
    with group(1) as members:
        seat = members[1]
        seat.disk_held = True
        seat.loop.receive(AppendRequest(2, 1, 0, 0, (), 0, 1, 50 * MILLISECOND))
        await eventually(lambda: len(seat.writes) == 1, within=10)
        machine, data = _snapshot_of(30)
        done = asyncio.ensure_future(seat.loop.install_snapshot(data, 2))
        await eventually(lambda: bool(seat.installs), within=10)
        seat.let_disk_finish(1)
        assert not done.done()
        assert seat.loop.machine.mark.applied_index == 0
        install = seat.installs[0].install
        assert install is not None
        assert install.mark == machine.mark
        assert {name: list(rows) for name, rows in install.tables.items() if rows} == {
            LEASES: sorted(machine.tables()[LEASES])
        }
        seat.let_disk_finish()
        assert await done
        assert seat.state() == (machine.mark, {name: sorted(rows) for name, rows in machine.tables().items()})
        await eventually(lambda: seat.loop.status().applied_index == 30, within=10)


async def test_rows_that_were_not_written_yet_are_not_written_over_a_snapshot() -> None:
    """N4: rows that are not in the snapshot do not survive."""
    with group(1) as members:
        seat = members[1]
        await _follow(seat, Entry(1, 1, EntryKind.NOOP, 0, b""))
        assert await seat.loop.install_snapshot(_snapshot_of(30)[1], 2)
        assert [(write.changes, write.mark) for write in seat.installs] == [((), None)]


async def test_entries_behind_a_snapshot_are_applied_to_it() -> None:
    with group(1) as members:
        seat = members[1]
        assert await seat.loop.install_snapshot(_snapshot_of(30)[1], 2)
        seat.loop.receive(AppendRequest(2, 1, 30, 1, (Entry(31, 1, EntryKind.NOOP, 0, b""),), 31, 1, 50 * MILLISECOND))
        await eventually(lambda: seat.loop.machine.mark.applied_index == 31, within=10)
        await eventually(lambda: any(write.mark == seat.loop.machine.mark for write in seat.writes), within=10)


async def test_second_snapshot_waits_for_the_first() -> None:
    with group(1) as members:
        seat = members[1]
        seat.disk_held = True
        first = asyncio.ensure_future(seat.loop.install_snapshot(_snapshot_of(30)[1], 2))
        await eventually(lambda: bool(seat.installs), within=10)
        assert not await seat.loop.install_snapshot(_snapshot_of(40)[1], 2)
        seat.disk_held = False
        seat.let_disk_finish()
        assert await first
        assert await seat.loop.install_snapshot(_snapshot_of(40)[1], 2)
        assert seat.loop.machine.mark.applied_index == 40


async def test_caller_that_goes_away_does_not_end_an_install() -> None:
    with group(1) as members:
        seat = members[1]
        seat.disk_held = True
        waiting = asyncio.ensure_future(seat.loop.install_snapshot(_snapshot_of(30)[1], 2))
        await eventually(lambda: bool(seat.installs), within=10)
        waiting.cancel()
        await asyncio.wait([waiting])
        seat.let_disk_finish()
        assert seat.loop.machine.mark.applied_index == 30


async def test_snapshot_that_knows_nothing_new_is_done_at_once() -> None:
    """N5."""
    with group(1) as members:
        seat = members[1]
        assert await seat.loop.install_snapshot(_snapshot_of(30)[1], 2)
        for count in (29, 30):
            assert await seat.loop.install_snapshot(_snapshot_of(count)[1], 2)
        assert len(seat.installs) == 1


async def test_snapshot_of_entries_in_the_log_is_done_without_an_install() -> None:
    """N5."""
    with group(1) as members:
        seat = members[1]
        entries = tuple(Entry(index, 1, EntryKind.NOOP, 0, b"") for index in range(1, 40))
        seat.loop.receive(AppendRequest(2, 1, 0, 0, entries, 0, 1, 50 * MILLISECOND))
        await eventually(lambda: seat.loop.status().last_index == 39, within=10)
        assert await seat.loop.install_snapshot(_snapshot_of(30)[1], 2)
        await eventually(lambda: seat.loop.machine.mark.applied_index == 30, within=10)
        assert seat.installs == []
        assert seat.loop.status().last_index == 39
        assert await seat.loop.install_snapshot(_snapshot_of(45)[1], 2)
        assert len(seat.installs) == 1


async def test_leader_does_not_take_a_snapshot() -> None:
    with group(1, 2, 3) as members:
        leader = await _leader(members)
        assert leader.loop.status().role is Role.LEADER
        assert not await leader.loop.install_snapshot(_snapshot_of(30)[1], 2)
        assert leader.installs == []


async def test_damaged_snapshot_changes_nothing() -> None:
    with group(1) as members:
        seat = members[1]
        data = _snapshot_of(30)[1]
        for damaged in (data[:-1], b"".join(encode_snapshot(BLANK, {}, "another"))):
            with pytest.raises(SnapshotRefused):
                await seat.loop.install_snapshot(damaged, 2)
        assert seat.installs == []
        assert await seat.loop.install_snapshot(data, 2)


async def test_end_while_installing_says_that_it_was_not_done() -> None:
    with group(1) as members:
        seat = members[1]
        seat.disk_held = True
        waiting = asyncio.ensure_future(seat.loop.install_snapshot(_snapshot_of(30)[1], 2))
        await eventually(lambda: bool(seat.installs), within=10)
        seat.loop.stop()
        assert not await waiting


class _Line:
    """A transport that only takes snapshots."""

    def __init__(self) -> None:
        self.begun: list[int] = []

    def send(self, outgoing: Outgoing) -> None:
        """No messages here."""

    def configure(self, configuration: Configuration) -> None:
        """Nobody is reached."""

    def send_snapshot(self, member_id: int, mark: LogMark, data: bytes) -> None:
        self.begun.append(member_id)


async def test_two_snapshots_are_sent_at_a_time_each_of_the_moment_it_begins() -> None:
    """N3."""
    line, machine = _Line(), _snapshot_of(30)[0]
    sending = SnapshotSending(lambda: machine, lambda: GROUP)
    sending.start(line)
    for member_id in (2, 3, 4, 2, 4):
        sending.wanted(member_id)
    await eventually(lambda: len(line.begun) == MAX_OUTGOING, within=10)
    machine.apply(31, 1, 1_000, None)
    assert sending.in_transit == (LogMark(30, 1), LogMark(30, 1))
    sending.ended(2)
    await eventually(lambda: line.begun == [2, 3, 4], within=10)
    assert sending.in_transit == (LogMark(30, 1), LogMark(31, 1))
    sending.ended(3)
    sending.ended(4)
    assert not sending.in_transit


async def test_loop_does_other_things_while_a_snapshot_is_framed() -> None:
    """N2."""
    machine = Machine(tables={LEASES: [(f"lease{number}", 1, "s", 1, 1, 1) for number in range(5_000)]})
    line = _Line()
    sending = SnapshotSending(lambda: machine, lambda: GROUP)
    sending.start(line)
    sending.wanted(2)
    turns = 0
    while not line.begun:
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 5_000 // 500

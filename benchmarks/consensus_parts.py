"""Parts of one member, measured in this process: its loop, a snapshot, a start."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
import uuid
from pathlib import Path
from typing import Final

from services.consensus.member_loop import MemberLoop
from services.consensus.ports import Report
from services.consensus.raft.configuration import Configuration, GroupMember, configuration_of
from services.consensus.raft.core import RaftCore
from services.consensus.raft.model import BootState, CoreSettings, Entry, EntryKind, LogMark
from services.consensus.raft.outputs import Outgoing
from services.consensus.state.commands import GrantLease, RecordSteps, RegisterRecovery, StepWrite, encode_command
from services.consensus.state.lease_table import Lease
from services.consensus.state.machine import Machine, Mark
from services.consensus.state.rows import STEPS
from services.consensus.state.snapshot import SnapshotReader, encode_snapshot
from services.consensus.store.birth import Identity
from services.consensus.store.store import SqlStore, StoreOptions, open_store
from services.consensus.store.writer import StoreWriter
from services.consensus.store_health import StoreWatch
from services.consensus.store_write import Install, StoreWrite
from services.shared.runtime.clock import boottime_ns

_GROUP: Final = "bench"
_ALONE: Final = configuration_of([GroupMember(1, name="node1")])
_COMMAND_BYTES: Final = 256
_ROWS: Final = 200_000
_ENTRIES: Final = 100_000
_SLICE: Final = 1_000
_S: Final = 1_000_000_000


class _NoPeers:
    """The transport of a group of one."""

    def send(self, outgoing: Outgoing) -> None:
        """Nobody."""

    def send_snapshot(self, member_id: int, mark: LogMark, data: bytes) -> None:
        """Nobody."""

    def configure(self, configuration: Configuration) -> None:
        """Nobody."""


def _store(directory: Path) -> SqlStore:
    directory.mkdir(parents=True, exist_ok=True)
    options = StoreOptions(bootstrap=_ALONE, allow_volatile=True)
    return open_store(f"sqlite:///{directory}/consensus.db", Identity(_GROUP, 1), options)


async def inprocess(directory: Path, clients: int, seconds: float) -> tuple[list[float], float]:
    """Commit steps of 256 bytes in a group of one; return the latencies in milliseconds, and how long it took."""
    store = _store(directory)
    stored = store.load()
    settings = CoreSettings(1)
    boot = BootState(
        stored.hard_state,
        stored.entries,
        stored.mark.applied_index,
        stored.log_mark,
        stored.mark.configuration,
        stored.mark.configuration_index,
    )
    member = MemberLoop(
        RaftCore(settings, boot, 1, boottime_ns()),
        Machine(stored.mark, stored.tables),
        settings,
        tick_ns=10_000_000,
        watch=StoreWatch(_S // 4, 2 * _S),
        clock=boottime_ns,
        wall_clock=lambda: time.time_ns() // 1_000_000,
        halt=lambda code, why: print(code, why),
        group_id=lambda: _GROUP,
    )
    loop = asyncio.get_running_loop()

    def told(report: Report) -> None:
        loop.call_soon_threadsafe(member.report, report)

    writer = StoreWriter(store, told)
    writer.start()
    member.start(writer, _NoPeers())
    try:
        return await _commit(member, clients, seconds)
    finally:
        member.stop()
        await asyncio.to_thread(writer.stop, 5.0)
        store.close()


async def _commit(member: MemberLoop, clients: int, seconds: float) -> tuple[list[float], float]:
    while not member.leads_with_lease():
        await member.leader_changed.wait_beyond(member.leader_changed.count, 1)
    lease = await member.propose(GrantLease("recovery", 1, str(uuid.uuid4())), 5)
    assert isinstance(lease, Lease)
    token = lease.fencing_token
    latencies_ms: list[float] = []
    began = time.perf_counter()

    async def client() -> None:
        recovery_id = str(uuid.uuid4())
        await member.propose(RegisterRecovery(recovery_id, token, str(uuid.uuid4()), "db1:3306", b"", 0, ()), 5)
        for number in itertools.count():
            asked = time.perf_counter()
            if asked - began > seconds:
                return
            intent = StepWrite(1, 1, None, number.to_bytes(_COMMAND_BYTES, "big"))
            await member.propose(RecordSteps(recovery_id, token, (intent,), b""), 5)
            latencies_ms.append((time.perf_counter() - asked) * 1e3)

    await asyncio.gather(*(client() for _ in range(clients)))
    return latencies_ms, time.perf_counter() - began


async def snapshot(directory: Path) -> dict[str, float]:
    """Frame, read and install a snapshot of 200,000 rows; return the milliseconds of each."""
    recovery_id = str(uuid.uuid4())
    tables = {
        STEPS: [
            (recovery_id, number, 1, 9, None, os.urandom(32), 1, None, 5, "db1:3306") for number in range(1, _ROWS + 1)
        ]
    }
    mark = Mark(_ROWS, 1, configuration=_ALONE, configuration_index=1)
    began = time.perf_counter()
    data = b"".join(encode_snapshot(mark, tables, _GROUP))
    framed = time.perf_counter()
    reader = SnapshotReader(data, _GROUP)
    while reader.read():
        pass
    read = time.perf_counter()
    store = _store(directory)
    store.load()
    opened = time.perf_counter()
    store.write(StoreWrite(1, install=Install(reader.mark, reader.tables)))
    installed = time.perf_counter()
    store.close()
    return {
        "frame": (framed - began) * 1e3,
        "read": (read - framed) * 1e3,
        "install": (installed - opened) * 1e3,
    }


async def start(directory: Path) -> float:
    """Return the milliseconds from opening a store with 100,000 entries to a core and a machine that could run."""
    store = _store(directory)
    first = store.load().log_mark.index + 1
    intent = StepWrite(1, 1, None, bytes(_COMMAND_BYTES))
    command = encode_command(RecordSteps(str(uuid.uuid4()), 1, (intent,), b""))
    for begin in range(first, first + _ENTRIES, _SLICE):
        entries = tuple(Entry(index, 1, EntryKind.COMMAND, 1, command) for index in range(begin, begin + _SLICE))
        store.write(StoreWrite(begin, entries=entries))
    store.close()
    began = time.perf_counter()
    again = _store(directory)
    stored = again.load()
    boot = BootState(
        stored.hard_state,
        stored.entries,
        stored.mark.applied_index,
        stored.log_mark,
        stored.mark.configuration,
        stored.mark.configuration_index,
    )
    RaftCore(CoreSettings(1), boot, 1, boottime_ns())
    Machine(stored.mark, stored.tables)
    took_ms = (time.perf_counter() - began) * 1e3
    assert len(stored.entries) == _ENTRIES
    again.close()
    return took_ms

"""One campaign: a group of real processes under load and faults, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import grpc

from services.shared.runtime.clock import boottime_ns
from tests.chaos.group_client import GroupClient
from tests.chaos.holders import Asker, Executor, Holder
from tests.chaos.load import KEYS, Load
from tests.chaos.nemesis import Fault, Nemesis
from tests.chaos.observer import read_sightings
from tests.chaos.outcome import Outcome
from tests.chaos.verdict import (
    check_history,
    check_members,
    check_overlaps,
    count_writes,
    election_times_ns,
    read_traces,
)
from tests.proof.history import History
from tests.support.consensus_group import REPOSITORY, Group, MemberProcess, consensus_group
from tests.support.eventually import eventually

STEADY_S: Final = 60.0
"""Longest time until a group without faults has a leader that commits."""
SMALL_DISK: Final = "160m"
SHORT_LOG: Final = {"snapshot_entries": "500", "trailing_entries": "100", "max_log": "65536"}
"""Settings under which members that were away for a moment need a snapshot."""
_PAUSE_S: Final = 0.3


async def run_campaign(
    seed: int, size: int, seconds: float, *, poll_ms: float = 2.0, keep: Path | None = None
) -> Outcome:
    """Run one campaign.

    Args:
        seed: Draws the faults and the clients' choices.
        size: Number of members.
        seconds: How long faults go on.
        poll_ms: How often the outside observer asks each member.
        keep: Directory to leave logs, traces and stores in; None = leave nothing.
    """
    with tempfile.TemporaryDirectory(prefix="primacy-chaos-") as place, _small_disk(Path(place), size) as small:
        async with consensus_group(Path(place), size, linked=True, extra=SHORT_LOG) as group:
            for member in group.members:
                member.environment["PRIMACY_CONSENSUS_TRACE_FILE"] = str(_trace_of(Path(place), member))
                member.start()
            outcome = await _Campaign(group, Path(place), small, seed, poll_ms).run(seconds)
        if keep is not None:
            shutil.copytree(place, keep / f"seed-{seed}", dirs_exist_ok=True)
        return outcome


class _Campaign:
    def __init__(self, group: Group, place: Path, small_disk: Path | None, seed: int, poll_ms: float) -> None:
        self._group = group
        self._place = place
        self._poll_ms = poll_ms
        self._outcome = Outcome(seed, len(group.members))
        self._history = History(boottime_ns)
        self._executor = Executor(place / "executor.trace")
        self._holders = tuple(
            Holder(member, self._history, self._executor, seed + member.member_id) for member in group.members
        )
        self._load = Load(group, self._holders, self._history, seed)
        self._nemesis = Nemesis(group, seed, small_disk)
        self._outcome.schedule = self._nemesis.schedule

    async def run(self, seconds: float) -> Outcome:
        outcome = self._outcome
        try:
            async with self._under_load():
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    await self._nemesis.strike(self._steady)
                    self._watch_exits()
                    await asyncio.sleep(_PAUSE_S)
                await self._steady(True)
            await self._settle()
        except AssertionError as error:
            outcome.violations.append(f"the group did not recover: {error}")
        self._judge()
        return outcome

    @contextlib.asynccontextmanager
    async def _under_load(self) -> AsyncIterator[None]:
        asker = Asker(self._group.members, self._holders, self._history)
        clients = [holder.run() for holder in self._holders]
        tasks = [asyncio.create_task(work) for work in (*clients, asker.run(), self._load.run())]
        with _observed(self._group, self._place / "sightings", self._poll_ms):
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
                self._executor.close()
        broken = [error for error in ended if isinstance(error, Exception)]
        if broken:
            raise ExceptionGroup("clients broke", broken)

    async def _steady(self, whole: bool) -> MemberProcess:
        """Wait until something is acknowledged from now on, with `whole` by a leader all follow; return who leads."""
        if whole:
            await eventually(self._is_whole, within=STEADY_S, retry_on=grpc.aio.AioRpcError, message="all follow")
        leader = await self._group.leader(within=STEADY_S)
        before = self._load.told.acknowledged
        deadline = time.monotonic() + STEADY_S
        while self._load.told.acknowledged == before:
            if time.monotonic() > deadline:
                raise AssertionError(f"nothing was committed in {STEADY_S} s")
            await asyncio.sleep(0.01)
        return leader

    async def _is_whole(self) -> bool:
        views = [await member.status() for member in self._group.members]
        return len({view.leader.member_id for view in views} - {0}) == 1 == len({view.term for view in views})

    def _watch_exits(self) -> None:
        """Nobody ends by itself."""
        for member in self._group.members:
            if not member.running:
                self._outcome.violations.append(f"{member.name} ended by itself: {member.output[-500:]}")
                member.start()

    async def _settle(self) -> None:
        """Compare all members with each other and with what clients were told."""
        await self._group.heal()
        await self._group.agree(within=STEADY_S)
        reader = GroupClient(self._group)
        for key in KEYS:
            await self._load.read(0, reader, key)
        operations = self._history.operations()
        for member in self._group.members:
            counted = await count_writes(member, self._load.told, operations)
            self._outcome.lost = max(self._outcome.lost, counted.lost)
            self._outcome.doubled = max(self._outcome.doubled, counted.doubled)
            self._outcome.violations += counted.violations

    def _judge(self) -> None:
        outcome = self._outcome
        operations = self._history.operations()
        sightings = read_sightings(self._place / "sightings")
        members = [_trace_of(self._place, member) for member in self._group.members]
        traces = read_traces([*members, self._place / "executor.trace"])
        overlapping = check_overlaps(sightings, surrendered=Fault.TRANSFER in outcome.schedule.done)
        wrong, outcome.traced = check_members(traces)
        outcome.violations += [*check_history(operations), *overlapping, *wrong]
        outcome.overlaps = len(overlapping)
        outcome.acknowledged = self._load.told.acknowledged
        outcome.operations = len(operations)
        outcome.statements = self._executor.statement_count
        outcome.sightings = len(sightings)
        outcome.elections_ns = election_times_ns(traces, outcome.schedule.leader_kills)


def _trace_of(place: Path, member: MemberProcess) -> Path:
    return place / f"{member.name}.trace"


@contextlib.contextmanager
def _observed(group: Group, out: Path, poll_ms: float) -> Iterator[None]:
    out.touch()
    members = [text for member in group.members for text in (str(member.member_id), member.api_endpoint)]
    command = [sys.executable, "-m", "tests.chaos.observer", str(poll_ms), str(out), *members]
    process = subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def _small_disk(place: Path, size: int) -> Iterator[Path | None]:
    """Give the last member a small file system of its own; None where nothing may be mounted."""
    disk = place / f"node{size}"
    disk.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(disk)]
    if mount is None or subprocess.run([mount, *options], capture_output=True).returncode != 0:
        yield None
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)

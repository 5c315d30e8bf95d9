"""One campaign: a group of real processes under load and faults, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
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
from tests.chaos.plan import Plan
from tests.chaos.stores import compare_stores, stand_together
from tests.chaos.verdict import (
    check_history,
    check_members,
    check_overlaps,
    count_installed,
    count_writes,
    election_times_ns,
    read_traces,
    unexpected_refusals,
)
from tests.proof.history import History
from tests.support.consensus_group import REPOSITORY, Group, MemberProcess, consensus_group
from tests.support.eventually import eventually

STEADY_S: Final = 60.0
"""Longest time until a group without faults has a leader that commits."""
SMALL_DISK_MB: Final = 160
"""Room on the small disk for a campaign of minutes; longer ones get a megabyte a second."""
SHORT_LOG: Final = {"snapshot_entries": "500", "trailing_entries": "100", "max_log": "65536"}
"""Settings under which members that were away for a moment need a snapshot."""
_OBSERVER_ENDS_S: Final = 60.0


async def run_campaign(plan: Plan, *, keep: Path | None = None) -> Outcome:
    """Run one campaign.

    Args:
        plan: What is done.
        keep: Directory to leave logs, traces and stores in. None = leave them only if something is wrong, beside other
            temporary files; the outcome says where.
    """
    with tempfile.TemporaryDirectory(prefix="primacy-chaos-") as place, _small_disk(Path(place), plan) as small:
        async with consensus_group(Path(place), plan.size, linked=True, extra=SHORT_LOG) as group:
            for member in group.members:
                member.environment["PRIMACY_CONSENSUS_TRACE_FILE"] = str(_trace_of(Path(place), member))
                member.start()
            outcome = await _Campaign(group, Path(place), small, plan).run()
        if keep is None and outcome.violations:
            keep = Path(tempfile.mkdtemp(prefix="primacy-chaos-kept-"))
        if keep is not None:
            outcome.kept = keep / f"seed-{plan.seed}"
            shutil.copytree(place, outcome.kept, dirs_exist_ok=True)
        return outcome


class _Campaign:
    def __init__(self, group: Group, place: Path, small_disk: Path | None, plan: Plan) -> None:
        self._group = group
        self._place = place
        self._plan = plan
        self._outcome = Outcome(plan)
        self._history = History(boottime_ns)
        self._executor = Executor(place / "executor.trace")
        self._holders = tuple(
            Holder(member, self._history, self._executor, plan.seed + member.member_id) for member in group.members
        )
        self._load = Load(group, self._holders, self._history, plan.seed)
        self._nemesis = Nemesis(group, plan.seed, small_disk)
        self._outcome.schedule = self._nemesis.schedule

    async def run(self) -> Outcome:
        outcome = self._outcome
        with _noted(outcome):
            async with self._under_load():
                with outcome.spends("birth"):
                    await self._steady(True)
                with outcome.spends("faults"):
                    await self._strike()
                    await self._steady(True)
            with outcome.spends("settle"):
                await self._settle()
                await self._compare_stores()
        with outcome.spends("judge"), _noted(outcome):
            self._judge()
        return outcome

    async def _strike(self) -> None:
        until = time.monotonic() + self._plan.seconds
        while time.monotonic() < until and self._nemesis.schedule.kills < self._plan.kills:
            await self._nemesis.strike(self._steady)
            self._watch_exits()

    @contextlib.asynccontextmanager
    async def _under_load(self) -> AsyncIterator[None]:
        asker = Asker(self._group.members, self._holders, self._history)
        clients = [holder.run() for holder in self._holders]
        tasks = [asyncio.create_task(work) for work in (*clients, asker.run(), self._load.run())]
        with _observed(self._group, self._place / "sightings", self._plan.poll_ms):
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
        self._outcome.violations += unexpected_refusals(self._load.told)
        for member in self._group.members:
            counted = await count_writes(member, self._load.told, operations)
            self._outcome.lost = max(self._outcome.lost, counted.lost)
            self._outcome.doubled = max(self._outcome.doubled, counted.doubled)
            self._outcome.violations += counted.violations

    async def _compare_stores(self) -> None:
        """End all members at once, in the middle of nothing, and compare what is on their disks."""
        databases = {member.name: member.database for member in self._group.members}
        await eventually(
            lambda: stand_together(databases.values()), within=STEADY_S, message="all stores stand at the same index"
        )
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for member in self._group.members:
                member.signal(number)
        for member in self._group.members:
            member.wait()
        self._outcome.rows_compared, differing = compare_stores(databases)
        self._outcome.violations += differing

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
        outcome.snapshots = count_installed(traces)
        outcome.statements = self._executor.statement_count
        outcome.sightings = len(sightings)
        outcome.elections_ns = election_times_ns(traces, outcome.schedule.leader_kills)


@contextlib.contextmanager
def _noted(outcome: Outcome) -> Iterator[None]:
    """Turn what goes wrong into a violation: what else is found is wanted too, and so are the campaigns to come."""
    try:
        yield
    except AssertionError as error:
        outcome.violations.append(f"the group did not recover: {error}")
    except Exception as error:  # noqa: BLE001
        outcome.violations.append(f"the campaign broke: {''.join(traceback.format_exception(error))}")


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
        process.wait(_OBSERVER_ENDS_S)


@contextlib.contextmanager
def _small_disk(place: Path, plan: Plan) -> Iterator[Path | None]:
    """Give the last member a small file system of its own; None where nothing may be mounted."""
    disk, size_mb = place / f"node{plan.size}", max(SMALL_DISK_MB, round(plan.seconds))
    disk.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(disk)]
    if mount is None or subprocess.run([mount, *options], capture_output=True).returncode != 0:
        yield None
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)

"""Members in trouble: their disk, their database, their settings, their end."""

from __future__ import annotations

import contextlib
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from primacy.consensus.v1 import consensus_pb2 as pb

from services.shared.runtime.status import parse_error
from tests.support.consensus_group import acquire, consensus_group, health, register
from tests.support.eventually import eventually

SMALL = {"store_stall": "500ms"}


async def test_leader_whose_database_is_locked_gives_way_and_comes_back(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, extra=SMALL) as group:
        for member in group.members:
            member.start()
        leader = await group.leader()
        token = (await acquire(leader)).lease.fencing_token
        lock = sqlite3.connect(leader.database, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        # The others' disks are a majority: this is committed without the leader's own.
        recovery = await register(leader, token)

        async def stalled() -> bool:
            status = await leader.status()
            return not await health(leader) and pb.BLOCKER_STORE_STALLED in status.blockers

        await eventually(stalled, within=5)
        successor = await group.leader(among=group.others(leader))
        assert (await acquire(successor)).lease.fencing_token > token
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await register(leader, token)
        told = parse_error(refused.value)
        assert told.reason == "DEPENDENCY_UNAVAILABLE"
        assert "locked" in told.message

        lock.execute("ROLLBACK")
        lock.close()

        async def serving() -> bool:
            return await health(leader) and not (await leader.status()).blockers

        await eventually(serving, within=10)
        await group.agree()
        found = await leader.journal.GetRecord(pb.GetRecordRequest(recovery_id=recovery.recovery_id), timeout=5)
        assert found.record == recovery


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = shutil.which("mount")
    made = (
        mount
        and subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True).returncode
    )
    if made != 0:
        pytest.skip("may not mount a small file system here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(ballast: Path) -> None:
    """Write a file until there is no space left."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4_096))


async def test_leader_whose_disk_is_full_gives_way_and_goes_on_when_there_is_space(
    tmp_path: Path, small_disk: Path
) -> None:
    async with consensus_group(tmp_path, extra={"store_ballast": "512KiB", "store_room": "1MiB"}) as group:
        for member in group.members:
            member.start()
        leader = await group.leader()
        token = (await acquire(leader)).lease.fencing_token
        recovery = await register(leader, token)
        leader.kill()
        for file in leader.directory.glob("consensus.db*"):
            shutil.copy(file, small_disk / file.name)
        leader.environment["PRIMACY_CONSENSUS_STORE_URL"] = f"sqlite:///{small_disk}/consensus.db"
        leader.start()
        await group.agree()
        ballast = small_disk / "ballast"
        fill(ballast)

        async def full() -> bool:
            status = await leader.status()
            for other in group.others(leader):
                if (await other.status()).role == pb.ROLE_LEADER:
                    token = (await acquire(other, "6f2c1d0e-7a57-4c1c-9f0b-0d4f0c6a5b11")).lease.fencing_token
                    await register(other, token)
            return not await health(leader) and pb.BLOCKER_STORE_FAILED in status.blockers

        await eventually(full, within=10, retry_on=grpc.aio.AioRpcError)
        assert "full" in leader.output
        ballast.unlink()

        async def serving() -> bool:
            return await health(leader)

        await eventually(serving, within=10)
        await group.agree()
        found = await leader.journal.GetRecord(pb.GetRecordRequest(recovery_id=recovery.recovery_id), timeout=5)
        assert found.record == recovery


async def test_io_error_ends_the_process_with_one_line(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, size=1) as group:
        member = group.member(1)
        member.start()
        leader = await group.leader()
        token = (await acquire(leader)).lease.fencing_token
        # A file that may not grow makes writes fail with EFBIG, which SQLite reports as an I/O error. The database is
        # beyond this limit already, the log of the process is not.
        resource.prlimit(member.pid, resource.RLIMIT_FSIZE, (32_768, 32_768))
        with pytest.raises(grpc.aio.AioRpcError):
            await register(leader, token)
        assert member.wait() == 74
        halted = [line for line in member.output.splitlines() if "consensus.halted" in line]
        assert len(halted) == 1
        assert "disk I/O error" in halted[0]
        assert "Traceback" not in member.output


@pytest.mark.parametrize(
    ("name", "value", "exit_code", "says"),
    [
        pytest.param("NODE", "stranger", 78, "none is named", id="not-a-member"),
        pytest.param("HEARTBEAT", "200ms", 78, "heartbeat", id="heartbeat-too-long"),
        pytest.param("HEARTBET", "60ms", 78, "unknown settings", id="misspelt"),
        pytest.param("SPANS_EXPORTER", "carrier-pigeon", 78, "installed: console", id="no-such-exporter"),
        pytest.param("STORE_URL", "sqlite:////does/not/exist/x.db", 78, "no directory", id="no-directory"),
        pytest.param("STORE_URL", "sqlite:////etc/passwd", 74, "not a database", id="not-a-database"),
        pytest.param("LISTEN", "203.0.113.1:50054", 78, "cannot listen", id="address-not-ours"),
    ],
)
async def test_bad_start_is_one_clear_line(tmp_path: Path, name: str, value: str, exit_code: int, says: str) -> None:
    async with consensus_group(tmp_path, size=1) as group:
        member = group.member(1)
        member.environment[f"PRIMACY_CONSENSUS_{name}"] = value
        member.start()
        assert member.wait() == exit_code
        assert says in member.output
        assert "Traceback" not in member.output


async def test_taken_port_is_refused(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, size=2) as group:
        first, second = group.members
        first.start()
        await eventually(first.status, within=10, retry_on=grpc.aio.AioRpcError)
        second.environment["PRIMACY_CONSENSUS_LISTEN"] = first.api_endpoint
        second.start()
        assert second.wait() == 78
        assert "cannot listen" in second.output


async def test_second_process_on_the_same_store_is_refused(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, size=2) as group:
        first, second = group.members
        first.start()
        await eventually(first.status, within=10, retry_on=grpc.aio.AioRpcError)
        second.environment["PRIMACY_CONSENSUS_STORE_URL"] = f"sqlite:///{first.database}"
        second.start()
        assert second.wait() == 78
        assert "another process" in second.output


async def test_sigterm_ends_streams_and_leaves_a_clean_database(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, size=1) as group:
        member = group.member(1)
        member.start()
        leader = await group.leader()
        await acquire(leader)
        stream = member.registry.WatchPrimaries(pb.WatchPrimariesRequest())
        await stream.read()
        member.signal(signal.SIGTERM)
        assert member.wait() == 0
        assert "consensus.stopped" in member.output
        assert not member.database.with_name("consensus.db-wal").exists()


async def test_paused_leader_wakes_without_its_lease(tmp_path: Path) -> None:
    async with consensus_group(tmp_path) as group:
        for member in group.members:
            member.start()
        leader = await group.leader()
        token = (await acquire(leader)).lease.fencing_token
        leader.signal(signal.SIGSTOP)
        successor = await group.leader(among=group.others(leader))
        newer = (await acquire(successor)).lease.fencing_token
        leader.signal(signal.SIGCONT)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await register(leader, token)
        # It knows who leads by now and asks there, or does not yet.
        assert parse_error(refused.value).reason in {"STALE_FENCING_TOKEN", "NO_LEADER", "OUTCOME_UNKNOWN"}
        await group.agree()
        status = await successor.status()
        assert status.role == pb.ROLE_LEADER, "the member that woke did not disturb the group"
        assert [lease.fencing_token for lease in status.leases] == [newer]


def database_files(directory: Path) -> list[Path]:
    """Return the files of a database, without the one that says what was acknowledged."""
    return [file for file in directory.glob("consensus.db*") if file.suffix in (".db", ".db-wal", ".db-shm")]


async def test_member_with_an_old_copy_of_its_database_shows_itself_and_votes_for_nobody(tmp_path: Path) -> None:
    async with consensus_group(tmp_path) as group:
        for member in group.members:
            member.start()
        leader = await group.leader()
        await group.agree()
        old = group.others(leader)[0]
        old.kill()
        copies = {file: file.read_bytes() for file in database_files(old.directory)}
        old.start()
        leader.kill()
        await group.leader(among=group.others(leader))
        old.kill()
        for file in database_files(old.directory):
            file.unlink()
        for file, content in copies.items():
            file.write_bytes(content)
        old.start()

        async def quarantined() -> bool:
            status = await old.status()
            return pb.BLOCKER_QUARANTINED in status.blockers

        await eventually(quarantined, within=10, retry_on=grpc.aio.AioRpcError, message=lambda: old.output[-2_000:])
        assert "forgot term" in old.output
        leader.start()
        await group.leader(among=group.others(old))

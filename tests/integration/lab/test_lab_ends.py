"""Nothing outlives a test run, and a machine without servers is told what it lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.lab import Flavor, Lab, LabError, LabInstance, ServerFailed
from tests.support.lab.directory import sweep

_REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[int]:
    """The process id of a server whose lab was killed."""
    command = [sys.executable, "-m", "tests.support.lab", "up", "lone", "--flavor", "mariadb"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=_REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stderr is not None
        line = next(line for line in parent.stderr if line.startswith("lone"))
        pid = int(line.split()[3])
        assert _runs(pid)
        parent.kill()
        yield pid


def _runs(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def _run_directories(parent: Path) -> tuple[Path, ...]:
    return tuple(parent.glob("primacy-lab-run-*"))


@pytest.mark.mariadb
async def test_servers_die_with_their_lab_and_the_next_lab_sweeps_their_files(orphan: int, tmp_path: Path) -> None:
    await eventually(lambda: not _runs(orphan), within=10)

    left = _run_directories(tmp_path)
    assert len(left) == 1
    # The lab's own process may take a moment longer to end than its servers.
    await eventually(lambda: sweep(tmp_path) == left, within=10)
    assert _run_directories(tmp_path) == ()


@pytest.mark.mariadb
async def test_leaving_the_lab_kills_servers_and_removes_files(tmp_path: Path) -> None:
    async with Lab(tmp_path) as lab:
        fleet = await lab.deploy("p -> r", flavor=Flavor.MARIADB)
        pids = [instance.pid for instance in fleet]
        fleet["p"].stop()
        assert all(_runs(pid) for pid in pids)

    assert not any(_runs(pid) for pid in pids)
    assert _run_directories(tmp_path) == ()


@pytest.mark.mariadb
async def test_server_that_does_not_start_shows_its_error_log(lab: Lab) -> None:
    with pytest.raises(ServerFailed, match=r"p: ended while starting(?s:.*)no-such-option"):
        await lab.deploy("p", flavor=Flavor.MARIADB, options=["--no-such-option"])


@pytest.mark.mariadb
async def test_network_of_an_instance_without_proxy_can_not_be_broken(lab: Lab) -> None:
    instance: LabInstance = (await lab.deploy("p", flavor=Flavor.MARIADB)).primary

    with pytest.raises(LabError, match="behind_proxies=True"):
        _ = instance.network


def test_machine_without_apt_is_told_which_packages_to_install(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path), "PRIMACY_LAB_CACHE": str(tmp_path / "cache")}

    done = subprocess.run(
        [sys.executable, "-m", "tests.support.lab", "install"],
        cwd=_REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "MySQL 9.7 can not be had: this machine has no apt-get" in done.stderr
    assert "mysql-server-core" in done.stderr
    assert "Traceback" not in done.stderr

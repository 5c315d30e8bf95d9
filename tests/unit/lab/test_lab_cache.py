"""Files and ports that several runs on one machine share."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.lab.accounts import Credentials
from tests.support.lab.cache import made_once
from tests.support.lab.directory import RunDirectory, sweep
from tests.support.lab.ports import lease_port, ports_in_a_row


def test_target_is_made_by_one_of_many_and_seen_whole_by_all(tmp_path: Path) -> None:
    target = tmp_path / "target"
    makers: list[int] = []
    seen: list[str] = []
    together = threading.Barrier(4)

    def make(number: int) -> None:
        together.wait()
        with made_once(target) as scratch:
            if scratch:
                makers.append(number)
                (scratch / "content").write_text("whole")
        seen.append((target / "content").read_text())

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(makers) == 1
    assert seen == ["whole"] * 4


def _fail_half_way(target: Path) -> None:
    with made_once(target) as scratch:
        assert scratch is not None
        (scratch / "half").touch()
        raise OSError("disk full")


def test_failed_attempt_leaves_nothing_and_the_next_one_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "target"

    with pytest.raises(OSError, match="disk full"):
        _fail_half_way(target)

    assert [path.name for path in tmp_path.iterdir()] == [".target.lock"]
    with made_once(target) as scratch:
        assert scratch is not None
    assert target.is_dir()


def test_sweep_removes_what_no_process_owns(tmp_path: Path) -> None:
    owned = RunDirectory(tmp_path)
    abandoned = RunDirectory(tmp_path)
    abandoned._lock.close()
    other = tmp_path / "somebody-else"
    other.mkdir()

    assert sweep(tmp_path) == (abandoned.path,)

    assert sorted(tmp_path.iterdir()) == sorted([owned.path, other])
    owned.remove()
    assert list(tmp_path.iterdir()) == [other]


def test_leased_ports_differ_until_released() -> None:
    leases = [lease_port() for _ in range(300)]  # Enough for chance to repeat itself.

    assert len({lease.port for lease in leases}) == 300
    for lease in leases:
        lease.release()


def test_ports_in_a_row_are_given_to_one_process_and_not_twice_in_a_row() -> None:
    mine = [ports_in_a_row(25) for _ in range(10)]
    program = "from tests.support.lab.ports import ports_in_a_row; print(ports_in_a_row(25))"
    other = int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout)

    assert all(abs(one - another) >= 25 for one, another in itertools.combinations([*mine, other], 2))


def test_passwords_are_new_each_time_and_hidden_in_text(tmp_path: Path) -> None:
    first, second = Credentials.generate(), Credentials.generate()

    assert first.management.password != second.management.password
    assert first.management.password not in repr(first)
    assert "primacy" in repr(first)
    first.save(tmp_path / "credentials.json")
    assert Credentials.load(tmp_path / "credentials.json") == first
    assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600

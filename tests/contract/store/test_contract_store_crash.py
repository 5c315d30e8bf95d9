"""A store that is cut off at any moment holds what it acknowledged, and nothing that was never written (S1-S7)."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from services.consensus.ports import StoreBroken, StoredState
from services.consensus.store.store import open_store
from services.consensus.store_write import StoreWrite
from tests.contract.store import workload
from tests.contract.store.conftest import IDENTITY, Database
from tests.contract.store.power_cut import Call, files_after, read_calls
from tests.contract.store.workload import WRITES

IMAGES: Final = 150
"""How many power cuts are tried."""
FILES: Final = ("consensus.db", "consensus.db-wal", "acknowledged")


@dataclass(frozen=True, slots=True)
class Cut:
    """A moment between two statements.

    Attributes:
        files: What the files held.
        began: How many writes had begun.
        done: How many of them were acknowledged.
    """

    files: dict[str, bytes]
    began: int
    done: int


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[StoredState]:
    """What a store holds after none, one, two … of the writes."""
    directory = tmp_path_factory.mktemp("states")
    store = open_store(f"sqlite:///{directory}/consensus.db", IDENTITY, workload.options(directory))
    found = [store.load()]
    for write in WRITES:
        store.write(write)
        found.append(store.load())
    store.close()
    assert all(state.quarantine == "" for state in found)
    return found


def load(directory: Path) -> StoredState:
    store = open_store(f"sqlite:///{directory}/consensus.db", IDENTITY, workload.options(directory))
    try:
        return store.load()
    finally:
        store.close()


def place(directory: Path, files: dict[str, bytes]) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


def is_one_of(state: StoredState, expected: list[StoredState]) -> bool:
    return any(replace(state, incarnation="") == replace(each, incarnation="") for each in expected)


def test_every_statement_may_be_the_last(tmp_path: Path, states: list[StoredState]) -> None:
    directory = tmp_path / "live"
    directory.mkdir()
    store = open_store(f"sqlite:///{directory}/consensus.db", IDENTITY, workload.options(directory))
    store.load()
    cuts: list[Cut] = []
    began = done = 0

    def cut(_: str) -> None:
        files = {name: (directory / name).read_bytes() for name in FILES if (directory / name).exists()}
        cuts.append(Cut(files, began, done))

    store._database.raw.set_trace_callback(cut)
    for began, write in enumerate(WRITES, start=1):
        store.write(write)
        done = began
        store.tidy(idle=True)
    cut("")
    store._database.raw.set_trace_callback(None)
    store.close()

    assert len(cuts) > 100
    for each in cuts:
        state = load(place(tmp_path / "image", each.files))
        assert state.quarantine == ""
        assert is_one_of(state, states[each.done : each.began + 1]), (each.began, each.done)


class Record:
    """What a whole run of the workload wrote, call by call."""

    def __init__(self, calls: list[Call], root: Path) -> None:
        self.calls = calls
        self._root = f"{root}/"

    def began(self, cut: int) -> int:
        """Return how many writes had begun after so many calls."""
        return self._marks(cut, b"b")

    def done(self, cut: int) -> int:
        """Return how many were acknowledged."""
        return self._marks(cut, b"a")

    def first_cut(self) -> int:
        """Return after how many calls the first write begins."""
        return next(cut for cut in range(len(self.calls)) if self.began(cut))

    def image(self, cut: int, rng: random.Random) -> dict[str, bytes]:
        """Return what the power leaves after so many calls."""
        files = {path.removeprefix(self._root): content for path, content in files_after(self.calls[:cut], rng).items()}
        return {name: content for name, content in files.items() if name in FILES}

    def before(self, ops: str) -> int:
        """Return how many such calls on the database there are before the first write begins."""
        calls = self.calls[: self.first_cut()]
        return sum(call.op in ops and "consensus.db" in call.path for call in calls)

    def _marks(self, cut: int, mark: bytes) -> int:
        return sum(call.path.endswith("/done") and call.data == mark for call in self.calls[:cut])


Run = Callable[..., tuple[int, Path]]


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that records and fails calls."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler to make the recorder with")
    library = tmp_path_factory.mktemp("recorder") / "recorder.so"
    source = Path(__file__).with_name("recorder.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl", "-lpthread"], check=True)
    return library


@pytest.fixture(scope="module")
def run(recorder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the workload in a process of its own; returns its exit code and its directory."""

    def run_workload(**recording: str) -> tuple[int, Path]:
        directory = tmp_path_factory.mktemp("run")
        known = {**os.environ, "LD_PRELOAD": str(recorder), "RECORDER_ROOT": f"{directory}/", **recording}
        command = (sys.executable, "-m", "tests.contract.store.workload", str(directory))
        return subprocess.run(command, env=known, check=False, timeout=60).returncode, directory

    return run_workload


@pytest.fixture(scope="module")
def record(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """One run without faults."""
    log = tmp_path_factory.mktemp("log") / "calls"
    code, directory = run(RECORDER_LOG=str(log))
    assert code == 0
    return Record(read_calls(log), directory)


def test_power_may_go_at_every_call(record: Record, states: list[StoredState], tmp_path: Path) -> None:
    rng = random.Random(20_240)
    first, last = record.first_cut(), len(record.calls)
    assert last - first > 100
    for _ in range(IMAGES):
        cut = rng.randint(first, last)
        state = load(place(tmp_path / "image", record.image(cut, rng)))
        assert state.quarantine == "", f"after {cut} calls"
        assert is_one_of(state, states[record.done(cut) : record.began(cut) + 1]), f"after {cut} calls"


def test_disk_that_lied_about_a_sync_is_found(record: Record, states: list[StoredState], tmp_path: Path) -> None:
    rng = random.Random(7)
    found = 0
    for _ in range(40):
        cut = rng.randint(record.first_cut(), len(record.calls))
        lie = rng.randint(record.first_cut(), cut)
        # The database is as of an earlier moment, the small file on another disk is not.
        image = {**record.image(lie, rng), "acknowledged": record.image(cut, rng)["acknowledged"]}
        state = load(place(tmp_path / "image", image))
        if state.quarantine:
            found += 1
        else:
            # Nothing that was acknowledged in another term is missing.
            least = states[record.done(cut)].hard_state.current_term
            assert state.hard_state.current_term >= least
    assert found > 5


@pytest.mark.parametrize("number", [1, 2, 5, 9, 14])
def test_failed_sync_ends_the_member_and_is_never_repeated(
    run: Run, record: Record, states: list[StoredState], tmp_path: Path, number: int
) -> None:
    log = tmp_path / "calls"
    code, directory = run(RECORDER_LOG=str(log), RECORDER_FAIL=f"sync:{record.before('s') + number}:{errno.EIO}")
    assert code == workload.BROKEN
    record = Record(read_calls(log), directory)
    began, done = record.began(len(record.calls)), record.done(len(record.calls))
    assert done < len(WRITES)
    state = load(place(tmp_path / "image", record.image(len(record.calls), random.Random(number))))
    assert state.quarantine == ""
    assert is_one_of(state, states[done : began + 1])


@pytest.mark.parametrize("number", [1, 6, 20, 41])
def test_full_disk_loses_nothing(
    run: Run, record: Record, states: list[StoredState], tmp_path: Path, number: int
) -> None:
    log = tmp_path / "calls"
    code, directory = run(RECORDER_LOG=str(log), RECORDER_FAIL=f"write:{record.before('wt') + number}:{errno.ENOSPC}")
    assert code == workload.FULL
    done = Record(read_calls(log), directory).done(10**9)
    assert done < len(WRITES)
    state = load(directory)
    assert state.quarantine == ""
    assert is_one_of(state, states[done : done + 2])


@pytest.mark.parametrize("statement", range(1, 6))
def test_write_that_is_cut_off_leaves_nothing_and_can_be_repeated(database: Database, statement: int) -> None:
    store, before = database.load()
    store.write(WRITES[1])
    write = StoreWrite(5, WRITES[3].hard_state, 6, WRITES[4].entries, WRITES[2].changes, WRITES[2].mark)
    earlier = store.load()
    faulty = _FailingCursor(store._database.raw.cursor(), statement)
    with pytest.raises(StoreBroken, match="pulled"):
        store._database.transaction(lambda _: store._write(faulty, write, again=False))
    assert store.load() == earlier
    store.write(write)
    after = store.load()
    assert (after.hard_state, after.entries[-1]) == (write.hard_state, write.entries[-1])
    assert before.incarnation == after.incarnation


class _FailingCursor:
    """Fails instead of carrying out its n-th statement, or after the last one."""

    def __init__(self, cursor: object, statement: int) -> None:
        self._cursor = cursor
        self._left = statement

    def __getattr__(self, name: str) -> object:
        if name in ("execute", "executemany"):
            self._left -= 1
            if self._left == 0:
                raise RuntimeError("the plug was pulled")
        return getattr(self._cursor, name)

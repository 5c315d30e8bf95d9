"""Looking at a store, copying it, and going on with it alone (14.7, 18.3)."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from msgspec import structs

from services.consensus.raft.configuration import NO_MEMBERS, MemberKind, decode_configuration, encode_configuration
from services.consensus.raft.core import RaftCore
from services.consensus.raft.events import Tick
from services.consensus.raft.model import BootState, CoreSettings, Entry, EntryKind, HardState, Role
from services.consensus.rescue import main
from services.consensus.state.rows import LEASES, put
from services.consensus.store_write import StoreWrite
from tests.contract.store.conftest import BOOTED, GROUP, IDENTITY, LEASE, Database, entries

MARK = structs.replace(BOOTED, applied_index=3, applied_term=4)
SMALLER = GROUP.without(3, 1)


class Rescue:
    """The program, on one database."""

    def __init__(self, database: Database, output: pytest.CaptureFixture[str]) -> None:
        self._database = database
        self._output = output

    def __call__(self, command: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
        """Run a command; return its exit code, what it told, and what it complained about."""
        acknowledged = str(self._database.directory / "acknowledged")
        code = main(
            (
                command,
                "--store",
                self._database.url,
                "--output",
                "json",
                "--acknowledged-file",
                acknowledged,
                *arguments,
            )
        )
        told = self._output.readouterr()
        return code, json.loads(told.out) if told.out else {}, told.err


@pytest.fixture
def rescue(database: Database, capsys: pytest.CaptureFixture[str]) -> Rescue:
    """The program."""
    return Rescue(database, capsys)


def fill(database: Database) -> None:
    store, _ = database.load()
    config = Entry(5, 4, EntryKind.CONFIG, 0, encode_configuration(SMALLER))
    log = (*entries(2, 3, 4, term=4), config, *entries(6, term=4))
    store.write(StoreWrite(1, HardState(7, 2, 300_000_000), None, log, (put(LEASES, LEASE),), MARK))


def boot(database: Database) -> RaftCore:
    """Start a core on what is stored."""
    _, state = database.load()
    assert state.quarantine == ""
    stored = BootState(
        state.hard_state,
        state.entries,
        state.mark.applied_index,
        state.log_mark,
        state.mark.configuration,
        state.mark.configuration_index,
    )
    return RaftCore(CoreSettings(member_id=1), stored, 1, 0)


def test_store_is_told_while_its_member_runs(database: Database, rescue: Rescue) -> None:
    fill(database)
    code, told, _ = rescue("inspect")
    assert code == 0
    assert told["group_id"] == IDENTITY.group_id
    picked = ("member_id", "current_term", "voted_for", "last_index", "last_term", "applied_index", "mark_index")
    assert [told[name] for name in picked] == [1, 7, 2, 6, 4, 3, 1]
    assert ([member["member_id"] for member in told["members"]], told["configuration_index"]) == ([1, 2], 5)
    assert (told["rows"], told["quarantine"], told["audit"]) == ({LEASES: 1}, "", [])


def test_looking_says_what_is_wrong(database: Database, rescue: Rescue) -> None:
    fill(database)
    database.close()
    database.execute("DELETE FROM raft_log WHERE log_index = 4")
    _, told, _ = rescue("inspect")
    assert "entry 4 is missing" in told["quarantine"]
    assert "acknowledged" in told["quarantine"]


def test_recovery_is_described_until_its_loss_is_accepted(database: Database, rescue: Rescue) -> None:
    fill(database)
    database.close()
    before = database.query("SELECT * FROM raft_log"), database.query("SELECT * FROM raft_vote")
    code, told, complaint = rescue("recover")
    assert (code, told["recovered"], told["last_index"], told["last_term"], told["term"]) == (64, False, 6, 4, 1_007)
    assert "--i-accept-loss" in complaint
    assert (database.query("SELECT * FROM raft_log"), database.query("SELECT * FROM raft_vote")) == before


def test_recovered_store_leads_a_group_of_its_own(database: Database, rescue: Rescue) -> None:
    fill(database)
    database.close()
    old = database.load()[1]
    database.close()

    code, told, _ = rescue("recover", "--i-accept-loss")

    assert (code, told["recovered"], told["term"]) == (0, True, 1_007)
    _, state = database.load()
    assert state.quarantine == ""
    assert state.group_id == told["group_id"] != old.group_id
    assert state.incarnation == told["incarnation"] != old.incarnation
    assert state.hard_state == HardState(1_007, 0, 300_000_000)
    assert state.entries[:-1] == old.entries
    assert (state.mark, state.tables) == (old.mark, old.tables)
    config = state.entries[-1]
    assert (config.index, config.term, config.kind) == (7, 1_007, EntryKind.CONFIG)
    members = decode_configuration(config.data)
    assert (members.voters, members.previous_index) == ((1,), 5)
    assert members.members[0].incarnation == state.incarnation
    (audit,) = state.audit
    facts = json.loads(audit.detail)
    assert (audit.action, facts["former_group_id"], facts["former_members"]) == ("recover", old.group_id, [1, 2])
    assert (facts["last_index"], facts["former_term"], facts["term"]) == (6, 7, 1_007)
    database.close()

    core = boot(database)
    core.step(Tick(), 10_000_000_000)
    core.step(Tick(), 20_000_000_000)
    assert (core.status().role, core.status().term) == (Role.LEADER, 1_008)


def test_recovery_can_be_repeated(database: Database, rescue: Rescue) -> None:
    fill(database)
    database.close()
    rescue("recover", "--i-accept-loss")
    code, told, _ = rescue("recover", "--i-accept-loss")
    assert (code, told["term"]) == (0, 2_007)
    assert [record.action for record in database.load()[1].audit] == ["recover", "recover"]


@pytest.mark.parametrize(
    ("damage", "last_index"),
    [
        pytest.param("DELETE FROM raft_log WHERE log_index = 5", 4, id="gap"),
        pytest.param("UPDATE raft_log SET data = x'00' WHERE log_index = 6", 5, id="damaged"),
        pytest.param("DELETE FROM raft_log WHERE log_index = 2", 3, id="gap-below-the-applied-index"),
    ],
)
def test_recovery_goes_on_with_what_can_be_trusted(
    database: Database, rescue: Rescue, damage: str, last_index: int
) -> None:
    fill(database)
    database.close()
    database.execute(damage)
    code, told, _ = rescue("recover", "--i-accept-loss")
    assert (code, told["last_index"]) == (0, last_index)
    _, state = database.load()
    assert (state.quarantine, state.entries[-1].index) == ("", last_index + 1)
    assert state.tables[LEASES] == [LEASE]


def test_recovery_of_a_store_in_use_is_refused(database: Database, rescue: Rescue) -> None:
    fill(database)
    code, told, complaint = rescue("recover", "--i-accept-loss")
    assert (code, told) == (78, {})
    assert "another process" in complaint


def test_store_without_a_group_cannot_begin_one(database: Database, rescue: Rescue) -> None:
    database.open(replace(IDENTITY, group_id=""), bootstrap=NO_MEMBERS)
    database.close()
    code, _, complaint = rescue("recover", "--i-accept-loss")
    assert code == 78
    assert "in no group yet" in complaint


def test_member_that_was_removed_cannot_begin_a_group(database: Database, rescue: Rescue) -> None:
    database.load(bootstrap=GROUP.without(1, 0))
    database.close()
    code, _, complaint = rescue("recover", "--i-accept-loss")
    assert code == 78
    assert "was removed" in complaint


def test_learner_that_never_leads_becomes_a_leader(database: Database, rescue: Rescue) -> None:
    quiet = replace(GROUP.members[0], kind=MemberKind.LEARNER, preference=0)
    database.load(bootstrap=GROUP.with_member(quiet, 0))
    database.close()
    rescue("recover", "--i-accept-loss")
    only = decode_configuration(database.load()[1].entries[-1].data).members[0]
    assert (only.kind, only.preference) == (MemberKind.VOTER, 50)


class TestBackup:
    """Copies of a SQLite store."""

    @pytest.fixture
    def database(self, tmp_path: Path) -> Database:
        """An empty database in a file."""
        return Database(f"sqlite:///{tmp_path}/consensus.db", tmp_path)

    def test_copy_has_what_the_running_member_has_written(self, database: Database, rescue: Rescue) -> None:
        fill(database)
        target = database.directory / "copy.db"
        code, told, _ = rescue("backup", "--to", str(target))
        assert (code, told["last_index"], told["file"]) == (0, 6, str(target))
        assert [file.name for file in database.directory.glob("copy*")] == ["copy.db"]
        database.close()

    def test_copy_put_back_is_found_and_can_be_recovered(self, database: Database, rescue: Rescue) -> None:
        fill(database)
        target = database.directory / "copy.db"
        rescue("backup", "--to", str(target))
        database._open[-1].write(StoreWrite(2, HardState(9)))
        database.close()
        target.replace(database.directory / "consensus.db")
        assert "forgot term 9" in database.load()[1].quarantine
        database.close()
        assert rescue("recover", "--i-accept-loss")[0] == 0
        assert database.load()[1].quarantine == ""
        database.close()

    def test_nothing_is_overwritten(self, database: Database, rescue: Rescue) -> None:
        fill(database)
        database.close()
        target = database.directory / "copy.db"
        target.write_bytes(b"precious")
        code, _, complaint = rescue("backup", "--to", str(target))
        assert (code, target.read_bytes()) == (78, b"precious")
        assert "File exists" in complaint

    def test_damaged_store_leaves_no_copy(self, database: Database, rescue: Rescue) -> None:
        (database.directory / "consensus.db").write_bytes(b"nothing like a database" * 1_000)
        target = database.directory / "copy.db"
        assert rescue("backup", "--to", str(target))[0] == 74
        assert not target.exists()
        assert rescue("inspect")[0] == 74

    def test_store_that_is_not_there_is_not_made(self, database: Database, rescue: Rescue) -> None:
        for command in (("inspect",), ("recover",), ("backup", "--to", str(database.directory / "copy.db"))):
            assert rescue(*command)[0] == 78
        assert list(database.directory.iterdir()) == []

    def test_store_on_a_server_is_copied_by_its_own_tool(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        store = ("--store", "mysql://u:secret@127.0.0.1:1/x")
        assert main(("backup", *store, "--to", str(tmp_path / "copy"))) == 78
        assert "mysqldump" in capsys.readouterr().err
        assert main(("inspect", *store)) == 75
        assert "secret" not in capsys.readouterr().err

    def test_text_is_for_people(self, database: Database) -> None:
        fill(database)
        database.close()
        program = (sys.executable, "-m", "services.consensus.rescue", "inspect")
        known = {**os.environ, "PRIMACY_CONSENSUS_STORE_URL": database.url}
        told = run(program, capture_output=True, text=True, check=True, env=known)
        assert "last_index: 6\n" in told.stdout

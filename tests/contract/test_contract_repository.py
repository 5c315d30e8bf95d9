"""What holds for the repository as a whole."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.contract.tools import ROOT

GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")

# Statements that change a MySQL server: what it stores of itself, how it replicates, who is connected.
CHANGING = re.compile(
    r"^\s*("
    r"(SET\s+(GLOBAL|PERSIST|PERSIST_ONLY|@@GLOBAL)\b)"
    r"|((START|STOP|RESET)\s+(ALL\s+)?(SLAVES?|REPLICA|MASTER|BINARY|GROUP_REPLICATION)\b)"
    r"|(CHANGE\s+(MASTER|REPLICATION)\b)"
    r"|(KILL\s)"
    r"|(PURGE\s)"
    r"|(FLUSH\s)"
    r"|((INSTALL|UNINSTALL)\s+(PLUGIN|COMPONENT|SONAME)\b)"
    r"|((GRANT|REVOKE)\s.*\bON\b)"
    r"|((CREATE|ALTER|DROP|RENAME)\s+(USER|ROLE|SERVER|INSTANCE)\b)"
    r"|(SHUTDOWN\s*;?\s*$)"
    r"|(CLONE\s+INSTANCE\b)"
    r"|(LOCK\s+INSTANCE\b)"
    r")",
    re.IGNORECASE,
)
ALLOWED = ("services/recovery/", "services/shared/mysql/")
OWN_DATABASE = (
    "services/consensus/store/backend_mysql.py"  # Ends its own lost session of its own store; no managed server.
)

ADVICE = "services/analysis/advice.py"  # Tells people what to run; analysis connects to no server.


def tracked(*patterns: str) -> list[str]:
    """Return the paths git tracks, from the root of the repository."""
    command = ["git", "-C", str(ROOT), "ls-files", "--", *patterns]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if listed.returncode != 0:
        pytest.skip(f"this is no git checkout: {listed.stderr.strip()}")
    return listed.stdout.splitlines()


def test_no_generated_stub_is_tracked() -> None:
    assert [path for path in tracked() if GENERATED.search(path)] == []


def test_generated_stubs_are_ignored() -> None:
    path = "protos/python/primacy/topology/v1/topology_pb2.py"
    command = ["git", "-C", str(ROOT), "check-ignore", "--quiet", path]
    tracked()
    assert subprocess.run(command, timeout=30, check=False).returncode == 0


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the string constants of a module that are no docstrings, with their lines; of an f-string the parts."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


@cache
def changing_statements() -> tuple[tuple[str, str], ...]:
    """Return where the product has statements that change a server: `path:line`, and the text."""
    return tuple(
        (f"{path.relative_to(ROOT)}:{line}", text)
        for path in sorted((ROOT / "services").rglob("*.py"))
        for line, text in texts(path)
        if CHANGING.match(text)
    )


def test_only_recovery_and_the_shared_dialects_know_statements_that_change_a_server() -> None:
    elsewhere = [found for found in changing_statements() if not found[0].startswith((*ALLOWED, ADVICE))]
    assert [(where.partition(":")[0], statement) for where, statement in elsewhere] == [(OWN_DATABASE, "KILL %s")]


@pytest.mark.parametrize("folder", ALLOWED)
def test_those_two_do_know_such_statements(folder: str) -> None:
    # Else the test above could not fail.
    assert [found for found in changing_statements() if found[0].startswith(folder)]


@pytest.mark.parametrize(
    "statement",
    [
        "STOP REPLICA",
        "STOP SLAVE IO_THREAD",
        "stop all slaves",
        "RESET REPLICA ALL",
        "RESET BINARY LOGS AND GTIDS",
        "CHANGE REPLICATION SOURCE TO",
        "CHANGE MASTER TO",
        "SET GLOBAL read_only = 0",
        "SET PERSIST super_read_only = ON",
        "SET @@GLOBAL.read_only = 0",
        "KILL 12",
        "PURGE BINARY LOGS",
        "GRANT ALL ON *.* TO x",
        "INSTALL PLUGIN x",
    ],
)
def test_a_changing_statement_is_recognized(statement: str) -> None:
    assert CHANGING.match(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT @@global.read_only",
        "SHOW REPLICA STATUS",
        "SET SESSION lock_wait_timeout = 1",
        "START TRANSACTION",
        "START",
        "stopped",
    ],
)
def test_other_text_is_not(statement: str) -> None:
    assert CHANGING.match(statement) is None


@pytest.mark.parametrize("service", ["discovery", "analysis", "consensus", "ctl"])
def test_only_recovery_imports_the_statements_that_change_a_server(service: str) -> None:
    forbidden = ("services.recovery",)
    for path in (ROOT / "services" / service).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            assert not [name for name in names if name.startswith(forbidden)], path

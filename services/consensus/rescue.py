"""`python -m services.consensus.rescue`: looks at, copies and rescues the store of one member (14.7, 18.3).

    rescue inspect --store URL [--acknowledged-file FILE] [--output text|json]
        Prints member, group, term, vote, marks, last index, digest, members, quarantine, audit. Changes nothing; the
        member may run.
    rescue backup --store URL --to FILE [--output text|json]
        Copies a SQLite store to a file that must not exist, while the member runs. A MySQL store is copied with
        `mysqldump --single-transaction SCHEMA`, which the refusal says.
    rescue recover --store URL [--i-accept-loss] [--acknowledged-file FILE] [--output text|json]
        Makes the store the only member of a new group: a configuration of this member alone at its last term + 1000,
        a new group id, a new incarnation, a row in the audit. The member must be stopped. Without `--i-accept-loss`
        it prints what would be done, changes nothing and ends with 64.

`--store` may be left out when PRIMACY_CONSENSUS_STORE_URL is set, so that no password shows among the processes.

Exit codes: 0 done, 2 bad arguments, 64 the loss was not accepted, 74 the store is damaged, 75 the database is not
reached, 78 the store or the target may not be used (another process has it, the file exists). With `--output json`
standard output is one JSON object; errors are one line on standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from services.consensus.ports import EXIT_STORE, EXIT_STORE_LOST, StoreError, StoreLost, StoreRefused
from services.consensus.store.copies import copy_store
from services.consensus.store.lost_majority import TERMS, only_member, recover
from services.consensus.store.report import describe, read_only
from services.shared.runtime.settings import EXIT_CONFIG

_STORE_URL: Final = "PRIMACY_CONSENSUS_STORE_URL"
EXIT_NOT_ACCEPTED: Final = 64
"""Exit code of a recovery whose loss was not accepted (sysexits.h, EX_USAGE)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    given = _parser().parse_args(arguments)
    try:
        code, told = _COMMANDS[given.command](given)
    except StoreError as error:
        sys.stderr.write(f"rescue: {error}\n")
        return _exit_code(error)
    sys.stdout.write(json.dumps(told) + "\n" if given.output == "json" else _as_text(told))
    if code == EXIT_NOT_ACCEPTED:
        sys.stderr.write("rescue: nothing was changed; repeat with --i-accept-loss to go on\n")
    return code


def _inspect(given: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    return 0, describe(*read_only(given.store, given.acknowledged_file))


def _backup(given: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    copy_store(given.store, given.to)
    # Reading the copy also proves that it can be read.
    return 0, {"file": str(given.to), **describe(*read_only(f"sqlite:///{given.to.absolute()}"))}


def _recover(given: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    reading, beside = read_only(given.store, given.acknowledged_file)
    found = describe(reading, beside)
    told = {
        "member_id": found["member_id"],
        "name": only_member(reading).name,
        "last_index": found["last_index"],
        "last_term": found["last_term"],
        "applied_index": found["applied_index"],
        "former_group_id": found["group_id"],
        "former_members": found["members"],
        "quarantine": found["quarantine"],
    }
    if not given.i_accept_loss:
        return EXIT_NOT_ACCEPTED, {**told, "recovered": False, "term": found["current_term"] + TERMS}
    group = recover(given.store, found["listed_id"], given.acknowledged_file)
    return 0, {
        **told,
        "recovered": True,
        "group_id": group.member.group_id,
        "incarnation": group.member.incarnation,
        "term": group.entry.term,
        "configuration_index": group.entry.index,
    }


_COMMANDS: Final = {"inspect": _inspect, "backup": _backup, "recover": _recover}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.consensus.rescue", description="The store of one member.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("inspect", "Tell what a store holds."),
        ("backup", "Copy a SQLite store while its member runs."),
        ("recover", "Make a store the only member of a new group, when a majority is lost for good."),
    ):
        command = commands.add_parser(name, help=what, description=what)
        url = os.environ.get(_STORE_URL)
        command.add_argument("--store", required=not url, default=url, metavar="URL", help=f"default: {_STORE_URL}")
        command.add_argument("--output", choices=("text", "json"), default="text")
        command.add_argument("--acknowledged-file", type=Path, help="as PRIMACY_CONSENSUS_ACKNOWLEDGED_FILE")
        if name == "backup":
            command.add_argument("--to", required=True, type=Path, metavar="FILE", help="must not exist")
        if name == "recover":
            command.add_argument("--i-accept-loss", action="store_true", help="what this store lacks is lost for good")
    return parser


def _exit_code(error: StoreError) -> int:
    match error:
        case StoreRefused():
            return EXIT_CONFIG
        case StoreLost():
            return EXIT_STORE_LOST
        case _:
            return EXIT_STORE


def _as_text(told: dict[str, Any]) -> str:
    return "".join(
        f"{name}: {value if isinstance(value, str) else json.dumps(value)}\n" for name, value in told.items()
    )


if __name__ == "__main__":
    sys.exit(main())

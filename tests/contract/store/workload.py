"""What a member's store goes through in the crash tests: a fixed list of writes, and a program that carries it out."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from msgspec import structs

from services.consensus.ports import StoreBroken, StoreFull
from services.consensus.raft.model import HardState, LogMark
from services.consensus.state.rows import LEASES, put
from services.consensus.store.store import StoreOptions, open_store
from services.consensus.store_write import Install, StoreWrite
from tests.contract.store.conftest import BOOTED, GROUP, IDENTITY, LEASE, entries

BROKEN: Final = 74
FULL: Final = 28


def _applied(index: int, term: int) -> StoreWrite:
    mark = structs.replace(BOOTED, applied_index=index, applied_term=term, time_ms=index)
    return StoreWrite(changes=(put(LEASES, (f"l{index}", *LEASE[1:])), put(LEASES, LEASE)), mark=mark)


WRITES: Final[Sequence[StoreWrite]] = (
    StoreWrite(1, HardState(1, 1)),
    StoreWrite(2, entries=entries(*range(2, 8))),
    _applied(5, 1),
    StoreWrite(3, HardState(2, 3)),
    StoreWrite(4, truncate_from=6, entries=entries(6, term=2)),
    StoreWrite(4, entries=entries(7, 8, term=2)),
    _applied(7, 2),
    StoreWrite(5, compact_to=LogMark(6, 2)),
    StoreWrite(6, HardState(3, 0, 300_000_000), entries=entries(*range(9, 40), term=2)),
    replace(_applied(39, 2), number=7, hard_state=HardState(4, 2)),
    StoreWrite(
        8,
        install=Install(
            structs.replace(BOOTED, applied_index=60, applied_term=3, time_ms=60), {LEASES: [("only", *LEASE[1:])]}
        ),
    ),
    StoreWrite(9, HardState(5, 1), entries=entries(61, 62, term=5)),
    _applied(62, 5),
    StoreWrite(10, HardState(6, 0)),
)


def options(directory: Path) -> StoreOptions:
    """Return how the store in a directory is opened."""
    return StoreOptions(GROUP, allow_volatile=True, acknowledged_file=directory / "acknowledged")


def main(directory: Path) -> int:
    """Carry out the writes; after each, a byte in `done` says that it was acknowledged."""
    store = open_store(f"sqlite:///{directory}/consensus.db", IDENTITY, options(directory))
    store.load()
    done = os.open(directory / "done", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for write in WRITES:
            os.write(done, b"b")
            store.write(write)
            os.write(done, b"a")
            store.tidy(idle=write.number % 3 == 0)
    except StoreFull:
        return FULL
    except StoreBroken:
        os._exit(BROKEN)
    store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""`python -m services.consensus`: one member of the group."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NoReturn

from services.consensus.node import STOP_S, Node
from services.consensus.ports import (
    EXIT_STORE,
    EXIT_STORE_LOST,
    Store,
    StoredState,
    StoreError,
    StoreLost,
    StoreRefused,
)
from services.consensus.raft.model import InvariantViolated
from services.consensus.settings import ConsensusSettings
from services.consensus.store.birth import Identity
from services.consensus.store.renewal import Renewal, renew_store
from services.consensus.store.store import StoreOptions, open_store
from services.consensus.store_figures import StoreFigures
from services.shared.runtime.grpc_server import UnsafeListener, stop_signal
from services.shared.runtime.settings import EXIT_CONFIG, load_settings
from services.shared.runtime.telemetry import start_logging

log = logging.getLogger("services.consensus")

EXIT_HALTED: Final = 70


def main() -> None:
    """Run a member until SIGTERM, a broken store or a broken invariant."""
    settings = load_settings(ConsensusSettings, os.environ)
    start_logging("consensus", settings.node, settings.log_level)
    figures = StoreFigures()
    store, stored = _open(settings, figures)
    try:
        while (why := asyncio.run(_serve(settings, store, stored, figures))) is not None:
            with _store_errors():
                _begin_anew(settings, stored, why)
            store, stored = _open(settings, figures)
    except InvariantViolated as violation:
        _refuse(EXIT_HALTED, f"the store breaks invariant {violation}")


def _open(settings: ConsensusSettings, figures: StoreFigures) -> tuple[Store, StoredState]:
    identity = Identity(settings.group_id, settings.member.member_id, settings.group_name)
    with _store_errors():
        store = open_store(settings.store_url, identity, replace(_options(settings), figures=figures))
        return store, store.load()


def _options(settings: ConsensusSettings) -> StoreOptions:
    return StoreOptions(
        bootstrap=settings.configuration(),
        allow_volatile=settings.allow_volatile_store,
        acknowledged_file=settings.acknowledged_file,
        timeout_s=settings.store_stall.total_seconds() / 2,
        ballast=settings.store_ballast,
        room=settings.store_room,
    )


def _begin_anew(settings: ConsensusSettings, stored: StoredState, why: str) -> None:
    """Put a blank store under a new id in the place of one that may not be trusted (14.6)."""
    identity = Identity(stored.group_id, settings.member.member_id, settings.group_name)
    renewal = Renewal(stored.member_id, stored.incarnation, secrets.randbits(48) or 1, why)
    kept = renew_store(settings.store_url, identity, _options(settings), renewal)
    log.warning("consensus.begins_anew", extra={"member": renewal.member_id, "kept": str(kept or "")})


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    """End the process with one line when a store cannot be used."""
    try:
        yield
    except StoreRefused as error:
        _refuse(EXIT_CONFIG, str(error))
    except StoreLost as error:
        _refuse(EXIT_STORE_LOST, f"the database is not reached: {error}")
    except StoreError as error:
        _refuse(EXIT_STORE, f"the store cannot be used: {error}")


def _tell(settings: ConsensusSettings, stored: StoredState) -> None:
    """Log what an operator should know about the store before anything else happens."""
    if stored.quarantine:
        log.error("consensus.quarantined", extra={"problem": stored.quarantine})
    if settings.group_id not in ("", stored.group_id):
        # The list counts only once; after that the group itself says who is in it (18.1).
        log.warning("consensus.settings_differ", extra={"group_id": stored.group_id})
    for record in stored.audit:
        log.info("consensus.audit", extra={"time_ms": record.time_ms, "action": record.action, "detail": record.detail})


async def _serve(settings: ConsensusSettings, store: Store, stored: StoredState, figures: StoreFigures) -> str | None:
    """Serve until told to stop; return why the member is to begin anew with a blank store, None = it is not."""
    stopped = stop_signal()
    _tell(settings, stored)
    node = Node(settings, store, stored, figures)
    try:
        port, raft_port = node.listen()
    except (RuntimeError, UnsafeListener) as error:
        _refuse(EXIT_CONFIG, f"cannot listen on {settings.listen} or {settings.raft_listen}: {error}")
    try:
        await node.start()
    except OSError as error:
        _refuse(EXIT_CONFIG, f"cannot serve metrics on {settings.metrics_listen}: {error.strerror or error}")
    log.info("consensus.serving", extra={"port": port, "raft_port": raft_port, "member": node.app.who.member_id})
    waiting = asyncio.ensure_future(stopped.wait())
    await asyncio.wait((waiting, node.halted, node.begins_anew), return_when=asyncio.FIRST_COMPLETED)
    if node.halted.done():
        exit_code, why = node.halted.result()
        log.critical("consensus.halted", extra={"problem": why})
        # Nothing is answered any more, and a broken store is not touched again.
        logging.shutdown()
        os._exit(exit_code)
    anew = None if stopped.is_set() else node.begins_anew.result()
    with _cut_short(STOP_S, exit_code=0 if anew is None else EXIT_STORE_LOST):
        await node.stop()
    if anew is not None:
        return anew
    log.info("consensus.stopped")
    return None


@contextlib.contextmanager
def _cut_short(within_s: float, exit_code: int) -> Iterator[None]:
    """End the process when what is inside does not end in time: a disk that hangs must not hold up a stop (8.5).

    Nothing is lost by that: what was acknowledged is on disk.
    """

    def end() -> None:
        log.warning("consensus.stop_cut_short")
        logging.shutdown()
        os._exit(exit_code)

    timer = threading.Timer(within_s, end)
    timer.daemon = True
    timer.start()
    yield
    timer.cancel()


def _refuse(exit_code: int, why: str) -> NoReturn:
    sys.stderr.write(f"consensus: {why}\n")
    sys.exit(exit_code)


if __name__ == "__main__":
    main()

"""`python -m services.consensus`: one member of the group."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Final, NoReturn

from services.consensus.model import InvariantViolated
from services.consensus.node import Node
from services.consensus.ports import Store, StoredState, StoreError, StoreRefused
from services.consensus.settings import ConsensusSettings
from services.consensus.store import EXIT_STORE, Identity, open_store
from services.shared.runtime.grpc_server import UnsafeListener, stop_signal
from services.shared.runtime.settings import EXIT_CONFIG, load_settings
from services.shared.runtime.telemetry import start_logging

log = logging.getLogger("services.consensus")

EXIT_HALTED: Final = 70


def main() -> None:
    """Run a member until SIGTERM, a broken store or a broken invariant."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # Else gRPC's own lines mix with ours on standard error.
    settings = load_settings(ConsensusSettings, os.environ)
    start_logging("consensus", settings.node, settings.log_level)
    store, stored = _open(settings)
    try:
        sys.exit(asyncio.run(_serve(settings, store, stored)))
    except InvariantViolated as violation:
        _refuse(EXIT_HALTED, f"the store breaks invariant {violation}")


def _open(settings: ConsensusSettings) -> tuple[Store, StoredState]:
    identity = Identity(settings.group_id, settings.member.member_id)
    try:
        store = open_store(settings.store_url, identity, allow_volatile=settings.allow_volatile_store)
        return store, store.load()
    except StoreRefused as error:
        _refuse(EXIT_CONFIG, str(error))
    except StoreError as error:
        _refuse(EXIT_STORE, f"the store cannot be used: {error}")


async def _serve(settings: ConsensusSettings, store: Store, stored: StoredState) -> int:
    stopped = stop_signal()
    node = Node(settings, store, stored)
    try:
        port, raft_port = node.listen()
    except (RuntimeError, UnsafeListener) as error:
        _refuse(EXIT_CONFIG, f"cannot listen on {settings.listen} or {settings.raft_listen}: {error}")
    await node.start()
    log.info("consensus.serving", extra={"port": port, "raft_port": raft_port, "member": settings.member.member_id})
    waiting = asyncio.ensure_future(stopped.wait())
    await asyncio.wait((waiting, node.halted), return_when=asyncio.FIRST_COMPLETED)
    if node.halted.done():
        exit_code, why = node.halted.result()
        log.critical("consensus.halted", extra={"problem": why})
        # Nothing is answered any more, and a broken store is not touched again.
        logging.shutdown()
        os._exit(exit_code)
    await node.stop()
    log.info("consensus.stopped")
    return 0


def _refuse(exit_code: int, why: str) -> NoReturn:
    sys.stderr.write(f"consensus: {why}\n")
    sys.exit(exit_code)


if __name__ == "__main__":
    main()

"""`python -m services.discovery`: reads settings, builds the parts, serves until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from primacy.discovery.v1 import discovery_pb2_grpc

from services.discovery.app import DiscoveryApp
from services.discovery.directory import watch_directory
from services.discovery.model import AppSettings, DirectoryEntry, Limits, Remembered
from services.discovery.probe import ProbeSettings, PymysqlProber
from services.discovery.server import DOMAIN, ERRORS, SERVICE, DiscoveryServicer
from services.discovery.settings import DiscoverySettings
from services.discovery.store import SqlStore, StoreBroken, StoreWriter
from services.shared.mysql.connect import ConnectionSettings, tls_context
from services.shared.runtime import clock
from services.shared.runtime.grpc_server import GrpcServer, UnsafeListener, stop_signal
from services.shared.runtime.settings import EXIT_CONFIG, load_settings, read_secret
from services.shared.runtime.telemetry import start_logging
from services.shared.topology.key import InstanceKey

log = logging.getLogger(__name__)

EXIT_STORE: Final = 74
"""Exit code of a process whose store cannot be opened (sysexits.h, EX_IOERR)."""
HEALTH_PERIOD_S: Final = 1.0
DIRECTORY_WAIT_S: Final = 2.0
"""How long the start waits for the directory of primaries, so that clusters get their lasting ids at first sight."""


def app_settings(settings: DiscoverySettings) -> AppSettings:
    """Return what the use cases need of the settings."""
    return AppSettings(
        limits=Limits(settings.poll, settings.check_grace, settings.lag_limit),
        primary_poll=settings.primary_poll,
        poll_jitter=settings.poll_jitter,
        full_probe_period=settings.full_probe_period,
        probe_timeout=settings.probe_timeout,
        slow_after=settings.slow_after,
        dead_poll_max=settings.dead_poll_max,
        burst_timeout=settings.burst_timeout,
        burst_length=settings.burst_length,
        hung_burst_length=max(settings.burst_length, settings.hung_burst_length),
        burst_limit=settings.burst_limit,
        seeds=tuple(InstanceKey.parse(seed) for seed in settings.seeds),
    )


def probe_settings(settings: DiscoverySettings) -> ProbeSettings:
    """Return what the prober needs of the settings.

    Raises:
        OSError: The password or a certificate cannot be read.
    """
    password = read_secret(settings.mysql_password_file) if settings.mysql_password_file is not None else ""
    ca_file = settings.mysql_tls_ca_file
    connection = ConnectionSettings(
        user=settings.mysql_user,
        password=password,
        tls=tls_context(ca_file, verify=ca_file is not None) if settings.mysql_tls else None,
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.probe_timeout,
        write_timeout=settings.probe_timeout,
        program_name="primacy-discovery",
    )
    return ProbeSettings(
        connection,
        data_center_query=settings.data_center_query,
        promotion_rule_query=settings.promotion_rule_query,
        healthy_lane=settings.healthy_lane,
        suspect_lane=settings.suspect_lane,
    )


async def serve(settings: DiscoverySettings, probing: ProbeSettings, store: SqlStore, remembered: Remembered) -> None:
    """Serve until SIGTERM.

    Raises:
        UnsafeListener, RuntimeError: The listener cannot be opened.
    """
    stopped = stop_signal()
    writer = StoreWriter(store, settings.store_delay, on_health=lambda _: None)
    app = DiscoveryApp(app_settings(settings), clock, writer, remembered)
    server = GrpcServer(settings, DOMAIN, ERRORS, (SERVICE,))
    discovery_pb2_grpc.add_DiscoveryServiceServicer_to_server(DiscoveryServicer(app), server.grpc)
    port = server.listen(settings.listen)
    writer.start()
    prober = PymysqlProber(probing, clock, app.on_signal)
    directory_read = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as tasks:
            await server.start()
            log.info("discovery.serving", extra={"port": port, "remembered": len(remembered.instances)})
            running = [tasks.create_task(_keep_health(server, app))]
            if settings.consensus_endpoint is not None:
                running.append(tasks.create_task(_follow_directory(settings, app, directory_read)))
            else:
                directory_read.set()
            running.append(tasks.create_task(_run(app, prober, directory_read)))
            await stopped.wait()
            app.end_watches()
            await server.stop()
            for task in running:
                task.cancel()
    finally:
        await prober.close()
        await asyncio.to_thread(writer.close)


async def _run(app: DiscoveryApp, prober: PymysqlProber, directory_read: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(DIRECTORY_WAIT_S):
            await directory_read.wait()
    await app.run(prober)


async def _follow_directory(settings: DiscoverySettings, app: DiscoveryApp, directory_read: asyncio.Event) -> None:
    def on_entries(entries: Sequence[DirectoryEntry]) -> None:
        app.set_directory(entries)
        directory_read.set()

    assert settings.consensus_endpoint is not None
    await watch_directory(settings.consensus_endpoint, settings, on_entries)


async def _keep_health(server: GrpcServer, app: DiscoveryApp) -> None:
    told: bool | None = None
    while True:
        if app.serving != told:
            told = app.serving
            await server.set_all_serving(serving=told)
            log.info("discovery.health", extra={"serving": told})
        await asyncio.sleep(HEALTH_PERIOD_S)


def main() -> int:
    """Run the service; return its exit code."""
    settings = load_settings(DiscoverySettings, os.environ)
    try:
        start_logging("discovery", settings.node, settings.log_level)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        probing = probe_settings(settings)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"discovery: {error}\n")
        return EXIT_CONFIG
    try:
        store = SqlStore.open(settings.store_url)
        remembered = store.load()
    except StoreBroken as error:
        sys.stderr.write(f"discovery: {error}\n")
        return EXIT_STORE
    try:
        asyncio.run(serve(settings, probing, store, remembered))
    except (UnsafeListener, RuntimeError, OSError) as error:
        sys.stderr.write(f"discovery: cannot listen on {settings.listen}: {error}\n")
        return EXIT_CONFIG
    finally:
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m services.recovery`: read settings, build the parts, serve until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import uuid
from pathlib import Path

from primacy.recovery.v1 import recovery_pb2_grpc

from services.recovery.app import RecoveryApp
from services.recovery.audit import AuditFile, log_stop
from services.recovery.case import read_policy
from services.recovery.consensus_client import ConsensusClient
from services.recovery.execute import ExecutorSettings, MysqlExecutor
from services.recovery.execute_steps import Limits
from services.recovery.feeds import Feeds
from services.recovery.lease_holder import LeaseHolder
from services.recovery.policy import DEFAULT_POLICY, PlanningPolicy
from services.recovery.presence import Presence
from services.recovery.server import ERROR_DOMAIN, ERRORS, SERVICE_NAME, RecoveryServicer
from services.recovery.settings import RecoverySettings
from services.recovery.stop_notes import StopNotes
from services.recovery.world import World
from services.shared.mysql.connect import ConnectionSettings, tls_context
from services.shared.runtime.clock import boot_id, boottime_ns, utc_now
from services.shared.runtime.grpc_client import open_channel
from services.shared.runtime.grpc_server import GrpcServer, UnsafeListener, stop_signal
from services.shared.runtime.settings import EXIT_CONFIG, load_settings, read_secret
from services.shared.runtime.telemetry import start_logging
from services.shared.topology.snapshot_file import SnapshotFileError

log = logging.getLogger(__name__)


class HostClock:
    """The clocks of this host."""

    now = staticmethod(utc_now)
    boottime_ns = staticmethod(boottime_ns)


def executor_settings(settings: RecoverySettings) -> ExecutorSettings:
    """Return how to reach servers.

    Raises:
        OSError: A file named in the settings cannot be read.
    """
    password = read_secret(settings.mysql_password_file) if settings.mysql_password_file else ""
    ca_file = settings.mysql_tls_ca_file
    connection = ConnectionSettings(
        settings.mysql_user,
        password,
        tls=tls_context(ca_file, verify=ca_file is not None) if settings.mysql_tls else None,
        connect_timeout=settings.connect_timeout,
    )
    limits = Limits(
        statement=settings.statement_timeout, freeze=settings.freeze_timeout, connect_wait=settings.connect_wait
    )
    return ExecutorSettings(connection, limits, settings.fence_timeout, settings.server_lane, settings.fence_lane)


def planning_policy(file: Path | None) -> PlanningPolicy:
    """Return what steers the choice of a successor.

    Raises:
        OSError: The file cannot be read.
        SnapshotFileError: It is malformed, or contradicts itself.
    """
    return DEFAULT_POLICY if file is None else read_policy(file.read_text(encoding="utf-8"))


async def serve(settings: RecoverySettings, reach: ExecutorSettings, planning: PlanningPolicy) -> int:
    """Serve until a stop signal; return the exit code."""
    stop = stop_signal()
    server = GrpcServer(settings, ERROR_DOMAIN, ERRORS, [SERVICE_NAME])
    try:
        port = server.listen(settings.listen)
    except (UnsafeListener, RuntimeError, OSError) as error:
        sys.stderr.write(f"cannot listen on {settings.listen}: {error}\n")
        return EXIT_CONFIG
    async with (
        open_channel(settings.discovery_endpoint, settings) as discovery,
        open_channel(settings.analysis_endpoint, settings) as analysis,
        open_channel(settings.consensus_endpoint, settings) as consensus_channel,
    ):
        consensus = ConsensusClient(consensus_channel)
        executor = MysqlExecutor(reach, utc_now)
        write_down = AuditFile(settings.audit_file) if settings.audit_file is not None else log_stop
        stops = StopNotes(write_down, consensus)
        world = World()
        changed = asyncio.Event()
        session_id = str(uuid.uuid4())
        holder = LeaseHolder(
            consensus,
            session_id,
            boot_id(),
            boottime_ns,
            changed=lambda: app.consider(),
            able=lambda: feeds.serving,
        )
        app = RecoveryApp(
            world,
            holder,
            consensus,
            consensus,
            executor,
            HostClock(),
            node=settings.node,
            policy=settings.policy,
            block_period=settings.block_period,
            drain_timeout=settings.drain_timeout,
            audit=stops,
            planning=planning,
        )

        def take_note() -> None:
            changed.set()
            app.consider()

        feeds = Feeds(
            world,
            discovery,
            analysis,
            consensus,
            settings.stream_silence,
            take_note,
            lambda leads: holder.note_leadership(leads=leads),
        )
        presence = Presence(consensus, session_id, lambda: feeds.serving)
        recovery_pb2_grpc.add_RecoveryServiceServicer_to_server(RecoveryServicer(app), server.grpc)
        await server.start()
        log.info("recovery.serving", extra={"port": port, "policy": settings.policy.value})
        async with asyncio.TaskGroup() as tasks:
            parts = (
                app.run(),
                holder.run(),
                presence.run(),
                stops.run(),
                report_health(server, feeds, changed),
                *(each.run() for each in feeds.all),
            )
            running = [tasks.create_task(part) for part in parts]
            await stop.wait()
            for task in running:
                task.cancel()
            await asyncio.wait(running)  # Nothing is sent to a server any more when the lease is given back.
            await holder.release()
            await server.stop()
        executor.stop()
    log.info("recovery.stopped")
    return 0


async def report_health(server: GrpcServer, feeds: Feeds, changed: asyncio.Event) -> None:
    """Tell health whenever it changes, until cancelled."""
    told: bool | None = None
    while True:
        if feeds.serving is not told:
            told = feeds.serving
            await server.set_all_serving(serving=told)
        await changed.wait()
        changed.clear()


def main() -> int:
    """Run the service; return the exit code."""
    settings = load_settings(RecoverySettings, os.environ)
    try:
        start_logging("recovery", settings.node, settings.log_level)
    except ValueError as error:
        sys.stderr.write(f"setting PRIMACY_RECOVERY_LOG_LEVEL: {error}\n")
        return EXIT_CONFIG
    try:
        reach = executor_settings(settings)
        planning = planning_policy(settings.planning_policy_file)
    except SnapshotFileError as error:
        sys.stderr.write(f"{settings.planning_policy_file}: {error}\n")
        return EXIT_CONFIG
    except OSError as error:
        sys.stderr.write(f"cannot read {error.filename}: {error.strerror}\n")
        return EXIT_CONFIG
    return asyncio.run(serve(settings, reach, planning))


if __name__ == "__main__":
    sys.exit(main())

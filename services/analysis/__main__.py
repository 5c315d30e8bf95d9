"""`python -m services.analysis`: read settings, build the parts, serve until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from primacy.analysis.v1 import analysis_pb2_grpc

from services.analysis.app import AnalysisApp
from services.analysis.discovery_client import DiscoveryClient
from services.analysis.server import ERROR_DOMAIN, ERRORS, SERVICE_NAME, AnalysisServicer, ServerHealth
from services.analysis.settings import AnalysisSettings
from services.shared.runtime.clock import utc_now
from services.shared.runtime.grpc_client import open_channel
from services.shared.runtime.grpc_server import GrpcServer, UnsafeListener, stop_signal
from services.shared.runtime.settings import EXIT_CONFIG, load_settings
from services.shared.runtime.telemetry import start_logging

log = logging.getLogger(__name__)


async def serve(settings: AnalysisSettings) -> int:
    """Serve until a stop signal; return the exit code."""
    stop = stop_signal()
    server = GrpcServer(settings, ERROR_DOMAIN, ERRORS, [SERVICE_NAME])
    try:
        port = server.listen(settings.listen)
    except (UnsafeListener, RuntimeError, OSError) as error:
        sys.stderr.write(f"cannot listen on {settings.listen}: {error}\n")
        return EXIT_CONFIG
    async with open_channel(settings.discovery_endpoint, settings) as channel:
        source = DiscoveryClient(channel, settings.discovery_endpoint, settings.discovery_silence)
        app = AnalysisApp(source, ServerHealth(server), utc_now, settings.limits, settings.watcher_limit)
        analysis_pb2_grpc.add_AnalysisServiceServicer_to_server(AnalysisServicer(app), server.grpc)
        await server.start()
        log.info("analysis.serving", extra={"port": port, "discovery": settings.discovery_endpoint})
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(app.run())
            await stop.wait()
            app.end_watches()
            await server.stop()
            running.cancel()
    log.info("analysis.stopped")
    return 0


def main() -> int:
    """Run the service; return the exit code."""
    settings = load_settings(AnalysisSettings, os.environ)
    try:
        start_logging("analysis", settings.node, settings.log_level)
    except ValueError as error:
        sys.stderr.write(f"setting PRIMACY_ANALYSIS_LOG_LEVEL: {error}\n")
        return EXIT_CONFIG
    return asyncio.run(serve(settings))


if __name__ == "__main__":
    sys.exit(main())

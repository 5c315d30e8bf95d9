"""Client of the replicated directory of primaries: reads `RegistryService.WatchPrimaries`, for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc

from services.discovery.convert import directory_entry_from_proto
from services.discovery.model import DirectoryEntry
from services.shared.runtime.grpc_client import end_if_cancelled, open_channel
from services.shared.runtime.settings import ServiceSettings
from services.shared.runtime.status import transport_message

log = logging.getLogger(__name__)

SILENCE_S: Final = 5.0
"""A stream that sends not even progress for so long is broken."""
RETRY_S: Final = 0.5


async def watch_directory(
    endpoint: str, settings: ServiceSettings, on_entries: Callable[[Sequence[DirectoryEntry]], None]
) -> None:
    """Hand every entry that is new or changed to `on_entries`, also an empty first answer; reconnects until cancelled.

    Args:
        endpoint: Consensus of this node, `host:port`.
        settings: TLS of this process.
        on_entries: Called in the event loop.
    """
    told = False
    async with open_channel(endpoint, settings) as channel:
        stub = consensus_pb2_grpc.RegistryServiceStub(channel)
        while True:
            try:
                await _read(stub, on_entries)
            except grpc.aio.AioRpcError as error:
                end_if_cancelled()
                if not told:
                    log.warning(
                        "discovery.directory_unavailable",
                        extra={"endpoint": endpoint, "problem": transport_message(error)},
                    )
                told = True
            except TimeoutError:
                log.warning("discovery.directory_silent", extra={"endpoint": endpoint})
            else:
                told = False
            await asyncio.sleep(RETRY_S)


async def _read(
    stub: consensus_pb2_grpc.RegistryServiceAsyncStub, on_entries: Callable[[Sequence[DirectoryEntry]], None]
) -> None:
    stream = stub.WatchPrimaries(pb.WatchPrimariesRequest())
    first = True
    try:
        while True:
            async with asyncio.timeout(SILENCE_S):
                response = await stream.read()
            if not isinstance(response, pb.WatchPrimariesResponse):
                return
            if response.changed or first:
                on_entries([directory_entry_from_proto(primary) for primary in response.changed])
            first = False
    finally:
        stream.cancel()

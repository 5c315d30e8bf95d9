"""Follows discovery's topology over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Final

import grpc
from primacy.discovery.v1 import discovery_pb2 as pb
from primacy.discovery.v1 import discovery_pb2_grpc

from services.analysis.analyst import TopologyEvent
from services.analysis.convert import event_from_proto
from services.shared.runtime.errors import DependencyUnavailable
from services.shared.runtime.grpc_client import end_if_cancelled
from services.shared.runtime.status import transport_message
from services.shared.topology.convert.key import key_to_proto
from services.shared.topology.key import InstanceKey

_READ_TIMEOUT_S: Final = 5.0


class DiscoveryClient:
    """A `TopologySource` that watches one discovery service."""

    def __init__(self, channel: grpc.aio.Channel, endpoint: str, longest_silence: timedelta) -> None:
        """Make a client.

        Args:
            channel: To discovery; the caller closes it.
            endpoint: Where it is, for error texts.
            longest_silence: A stream that says nothing for this long is dead; discovery speaks at least once a second.
        """
        self._stub = discovery_pb2_grpc.DiscoveryServiceStub(channel)
        self._name = f"discovery at {endpoint}"
        self._silence_s = longest_silence.total_seconds()

    async def read(self, key: InstanceKey) -> None:
        """Have an instance read now.

        Raises:
            DependencyUnavailable: Discovery refused, or did not answer in time.
        """
        try:
            await self._stub.Refresh(pb.RefreshRequest(endpoint=key_to_proto(key)), timeout=_READ_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise DependencyUnavailable(self._name, transport_message(error)) from None

    async def watch(self) -> AsyncGenerator[TopologyEvent, None]:
        """Yield a snapshot, then every change and signs of life.

        Raises:
            DependencyUnavailable: The stream broke, ended, or went silent.
        """
        call = self._stub.WatchTopology(pb.WatchTopologyRequest())
        messages = aiter(call)
        try:
            while True:
                async with asyncio.timeout(self._silence_s):
                    message = await anext(messages)
                event = event_from_proto(message)
                if event is not None:
                    yield event
        except StopAsyncIteration:
            raise DependencyUnavailable(self._name, "it ended the stream") from None
        except TimeoutError:
            raise DependencyUnavailable(self._name, f"it said nothing for {self._silence_s:g} s") from None
        except grpc.aio.AioRpcError as error:
            end_if_cancelled()
            raise DependencyUnavailable(self._name, transport_message(error)) from None
        finally:
            call.cancel()

"""Channels to peers: each has a connection of its own, so that entries never delay a heartbeat (16)."""

from __future__ import annotations

from typing import Final

import grpc

from services.shared.runtime.grpc_client import open_channel
from services.shared.runtime.settings import ServiceSettings

MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
"""Longest message between members (W5)."""
_OPTIONS: Final = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", MAX_FRAME_BYTES),
    ("grpc.max_send_message_length", MAX_FRAME_BYTES),
)


def open_peer_channel(endpoint: str, name: str, settings: ServiceSettings) -> grpc.aio.Channel:
    """Open a channel that shares its connection with no other.

    Args:
        endpoint: `host:port`, resolved at each connect (M9).
        name: Name the member's certificate has to show, whatever its endpoint is called (W1); empty = the endpoint's.
        settings: TLS files of this process; without them the channel is plain text.
    """
    named = (("grpc.ssl_target_name_override", name),) if name and settings.tls_enabled else ()
    return open_channel(endpoint, settings, (*_OPTIONS, *named))

"""The one place where gRPC channels are made."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import grpc

from services.shared.runtime.settings import ServiceSettings

ChannelOptions = Sequence[tuple[str, int | str]]

_OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


def open_channel(
    endpoint: str, settings: ServiceSettings | None = None, options: ChannelOptions = _OPTIONS
) -> grpc.aio.Channel:
    """Open a channel to a service; it connects lazily and reconnects by itself within a second.

    Args:
        endpoint: `host:port`, resolved at each connect.
        settings: TLS files of this process; without them, or None, the channel is plain text.
        options: gRPC's channel arguments, instead of the usual ones.
    """
    if settings is None or not settings.tls_enabled:
        return grpc.aio.insecure_channel(endpoint, options=options)
    assert settings.tls_cert_file is not None
    assert settings.tls_key_file is not None
    assert settings.tls_ca_file is not None
    credentials = grpc.ssl_channel_credentials(
        root_certificates=settings.tls_ca_file.read_bytes(),
        private_key=settings.tls_key_file.read_bytes(),
        certificate_chain=settings.tls_cert_file.read_bytes(),
    )
    return grpc.aio.secure_channel(endpoint, credentials, options=options)


def end_if_cancelled() -> None:
    """End the running task if it was cancelled; whoever goes on after a failed call asks this first.

    A call that ends in the moment in which its reader is cancelled raises its own status instead: grpc.aio's `read`
    asks for the status of a call that is done, and forgets the cancellation. A loop that takes that for one more
    failure would go on for ever.

    Raises:
        asyncio.CancelledError: It was.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError

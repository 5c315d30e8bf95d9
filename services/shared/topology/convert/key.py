"""Endpoints <-> their messages; None is an absent field."""

from __future__ import annotations

from primacy.topology.v1 import topology_pb2 as pb

from services.shared.runtime.errors import InvalidField
from services.shared.topology.key import DEFAULT_PORT, InstanceKey


def key_from_request(endpoint: pb.Endpoint, field: str) -> InstanceKey:
    """Return the key a request names; port 0 means 3306.

    Raises:
        InvalidField: No host, white space in it, or the port is out of range; names `field`.
    """
    host = endpoint.host
    if host in ("", "."):
        raise InvalidField(f"{field}.host", "is required: the host name or address of an instance")
    if len(host) > 255 or any(character.isspace() or character in "/\0" for character in host):
        raise InvalidField(f"{field}.host", "is not a host name or address")
    if endpoint.port > 65535:
        raise InvalidField(f"{field}.port", "is not between 1 and 65535")
    return InstanceKey.of(host.strip("[]"), endpoint.port or DEFAULT_PORT)


def key_to_proto(key: InstanceKey | None) -> pb.Endpoint | None:
    """Return the endpoint; None stays None (an absent field)."""
    return None if key is None else pb.Endpoint(host=key.host, port=key.port)


def key_from_proto(endpoint: pb.Endpoint) -> InstanceKey:
    """Return the key of a message of ours; ask `HasField` first."""
    return InstanceKey.of(endpoint.host, endpoint.port)

"""Arguments of commands, parsed at the door."""

from __future__ import annotations

from primacy.topology.v1 import topology_pb2

from services.ctl.failure import CtlError, Exit
from services.shared.topology.instance import InstanceKey


def parse_instance(text: str) -> InstanceKey:
    """Parse `host:port`; the port defaults to 3306.

    Raises:
        CtlError: Not of that form.
    """
    try:
        return InstanceKey.parse(text)
    except ValueError as error:
        raise CtlError(str(error), Exit.USAGE) from None


def parse_endpoint(text: str) -> topology_pb2.Endpoint:
    """Parse `host:port` into the message requests take.

    Raises:
        CtlError: Not of that form.
    """
    key = parse_instance(text)
    return topology_pb2.Endpoint(host=key.host, port=key.port)


def names_instance(text: str) -> bool:
    """Return whether a text may name an instance: it is `host:port`; a name without a port is a cluster."""
    try:
        return ":" in text and bool(InstanceKey.parse(text))
    except ValueError:
        return False

"""Arguments of commands, parsed at the door."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer
from google.protobuf import duration_pb2
from primacy.topology.v1 import topology_pb2

from services.ctl.failure import CtlError, Exit
from services.shared.runtime.settings import parse_duration
from services.shared.topology.key import InstanceKey

RequestIdOption = Annotated[
    str, typer.Option(metavar="UUID", help="Repeat the id of an earlier try, and nothing is done twice.")
]


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


def parse_seconds(text: str) -> float:
    """Parse a duration such as `500ms` and return seconds.

    Raises:
        CtlError: It has no unit, or is not above zero.
    """
    try:
        seconds = parse_duration(text).total_seconds()
    except ValueError as error:
        raise CtlError(str(error), Exit.USAGE) from None
    if seconds <= 0:
        raise CtlError(f"{text!r} is no time at all; give a duration such as 5s", Exit.USAGE)
    return seconds


def parse_span(text: str) -> duration_pb2.Duration:
    """Parse a duration such as `2h` into the message requests take.

    Raises:
        CtlError: It has no unit, or is not above zero.
    """
    span = duration_pb2.Duration()
    span.FromNanoseconds(round(parse_seconds(text) * 1e9))
    return span


def parse_optional_span(text: str) -> duration_pb2.Duration | None:
    """Parse a duration such as `2h`; empty stays absent.

    Raises:
        CtlError: It has no unit, or is not above zero.
    """
    return parse_span(text) if text else None


def parse_request_id(text: str) -> str:
    """Return the id of a request: the given one, or a new one when it is empty.

    Raises:
        CtlError: It is no UUID.
    """
    return parse_uuid(text, "--request-id") if text else str(uuid.uuid4())


def parse_uuid(text: str, name: str) -> str:
    """Parse a UUID, in its canonical form.

    Args:
        text: What was given.
        name: The option or argument it was given as.

    Raises:
        CtlError: It is none.
    """
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise CtlError(f"{name} {text!r} is not a UUID", Exit.USAGE) from None

"""JSON for programs: protobuf's JSON with the names of the protos, one object a line."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message


class Output(enum.StrEnum):
    """How an answer is written."""

    TEXT = "text"
    JSON = "json"


def as_json(message: Message) -> dict[str, Any]:
    """Return a message as JSON values.

    Names are those of the proto; fields with a default are there, absent optional ones are not; 64-bit integers are
    strings and enum values are names (protobuf's JSON mapping).
    """
    values: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return values


def json_line(value: Message | Mapping[str, Any]) -> str:
    """Return one JSON object on one line; messages may sit anywhere inside a mapping or a list."""
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    match value:
        case Message():
            return as_json(value)
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case str():
            return value
        case Sequence():
            return [_plain(item) for item in value]
        case _:
            return value

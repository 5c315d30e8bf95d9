"""Reads a topology from a file, so that it can be judged without any server.

The file is protobuf JSON, as `primacy topology --output json` writes it. Whatever is wrong with it is told with the
field and the line it stands in: people write these files by hand. Further members may stand beside those of the
snapshot; who reads the file says which.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from primacy.topology.v1 import topology_pb2 as pb

from services.shared.mysql.gtid import GtidFormatError, parse_gtid_set
from services.shared.topology.convert.key import key_from_proto
from services.shared.topology.convert.snapshot import snapshot_from_proto
from services.shared.topology.json_lines import Path, places
from services.shared.topology.key import DEFAULT_PORT, InstanceKey
from services.shared.topology.server import Flavor
from services.shared.topology.snapshot import TopologySnapshot

_TEXT_LIKE: Final = ("google.protobuf.Duration", "google.protobuf.Timestamp")
"""Messages that are one value in JSON."""
_SETS: Final = ("executed_gtid_set", "purged_gtid_set", "binlog_gtid_position")
"""GTID sets of an instance in the words of its flavor: one that is misread could prove that nothing is lost."""
_FLAVORS: Final = {pb.FLAVOR_MYSQL: Flavor.MYSQL, pb.FLAVOR_MARIADB: Flavor.MARIADB}


class SnapshotFileError(ValueError):
    """A file is not a topology.

    Attributes:
        field: Path of what is wrong, such as `instances[2].endpoint.port`; empty when it is no JSON at all.
        line: Where it stands, 1-based.
        problem: What is wrong with it, and what is expected.
    """

    def __init__(self, field: str, line: int, problem: str) -> None:
        self.field = field
        self.line = line
        self.problem = problem
        super().__init__(f"line {line}: {field}: {problem}" if field else f"line {line}: {problem}")


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """What a file says.

    Attributes:
        snapshot: The topology.
        more: Messages beside it, by name; those the file does not have are absent.
    """

    snapshot: TopologySnapshot
    more: Mapping[str, Message] = field(default_factory=dict)
    _lines: Mapping[Path, int] = field(default_factory=dict, repr=False)
    _written: Mapping[InstanceKey, Any] = field(default_factory=dict, repr=False)

    def says(self, key: InstanceKey, *names: str) -> bool:
        """Return whether a field of an instance is written, and is not null; names as in the proto."""
        return _says(self._written[key], *names)

    def error(self, path: Path, problem: str) -> SnapshotFileError:
        """Return what is wrong with one value, for a reader that knows more about it than this module."""
        return _error(self._lines, path, problem)


@dataclass(frozen=True, slots=True)
class MessageFile:
    """What a file that is one message says."""

    message: Message
    _lines: Mapping[Path, int] = field(repr=False)

    def error(self, path: Path, problem: str) -> SnapshotFileError:
        """Return what is wrong with one value, for a reader that knows more about it than this module."""
        return _error(self._lines, path, problem)


def read_message(text: str, kind: type[Message]) -> MessageFile:
    """Read the text of a file that is one message in protobuf JSON.

    Raises:
        SnapshotFileError: It is not such a file.
    """
    whole, lines = _parse(text)
    return MessageFile(_message(whole, kind, (), lines), lines)


def read_snapshot(text: str, more: Mapping[str, type[Message]] | None = None) -> SnapshotFile:
    """Read the text of a file.

    Args:
        text: Protobuf JSON of a `TopologySnapshot`; names of fields as in the proto or in lower camel case.
        more: Further members that the file may have, by name.

    Raises:
        SnapshotFileError: It is not such a file.
    """
    whole, lines = _parse(text)
    messages = {}
    for name, kind in (more or {}).items():
        if name in whole:
            messages[name] = _message(whole.pop(name), kind, (name,), lines)
    snapshot = _message(whole, pb.TopologySnapshot, (), lines)
    assert isinstance(snapshot, pb.TopologySnapshot)
    for path, problem in _wrong_instances(snapshot):
        raise _error(lines, path, problem)
    written = whole.get("instances") or []
    for endpoint in _endpoints(snapshot, written):
        endpoint.port = endpoint.port or DEFAULT_PORT
    by_key = {key_from_proto(each.endpoint): told for each, told in zip(snapshot.instances, written, strict=True)}
    return SnapshotFile(_without_dead_ends(snapshot_from_proto(snapshot)), messages, lines, by_key)


def _says(value: Any, *names: str | int) -> bool:
    for name in names:
        if isinstance(name, int):
            value = value[name]
        else:
            value = (value or {}).get(name, (value or {}).get(_in_camel_case(name)))
    return value is not None


def _in_camel_case(name: str) -> str:
    return re.sub("_([a-z])", lambda letter: letter[1].upper(), name)


def _without_dead_ends(snapshot: TopologySnapshot) -> TopologySnapshot:
    """Leave out channels that name no source: such an instance replicates from nobody."""
    instances = {
        key: replace(instance, channels=tuple(channel for channel in instance.channels if channel.names_source))
        for key, instance in snapshot.instances.items()
    }
    return replace(snapshot, instances=instances)


def _error(lines: Mapping[Path, int], path: Path, problem: str) -> SnapshotFileError:
    """Return an error about a value, or, where it is absent, about what it should stand in."""
    plain = _as_in_proto(path)
    found = next((lines[plain[:length]] for length in range(len(path), -1, -1) if plain[:length] in lines), 1)
    return SnapshotFileError(_dotted(path), found, problem)


def _as_in_proto(path: Path) -> Path:
    """Return a path with the names of the proto, whichever spelling the file has."""
    return tuple(
        re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", part) if isinstance(part, str) else part
        for part in path
    )


def _dotted(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _parse(text: str) -> tuple[dict[str, Any], dict[Path, int]]:
    try:
        whole = json.loads(text, object_pairs_hook=_without_repetition)
    except json.JSONDecodeError as error:
        raise SnapshotFileError("", error.lineno, f"this is not JSON: {error.msg} (column {error.colno})") from None
    except _Repeated as repeated:
        line = next((line for path, line in _repeated_lines(text, repeated.name)), 1)
        raise SnapshotFileError(repeated.name, line, "it stands here for the second time") from None
    except RecursionError:
        raise SnapshotFileError("", 1, "it is nested too deeply") from None
    if not isinstance(whole, dict):
        raise SnapshotFileError("", 1, "the file must be one JSON object {…}")
    return whole, {_as_in_proto(path): line for path, line in places(text)}


class _Repeated(Exception):
    def __init__(self, name: str) -> None:
        self.name = name


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise _Repeated(name)
        seen.add(name)
    return dict(pairs)


def _repeated_lines(text: str, name: str) -> Iterator[tuple[Path, int]]:
    seen: set[Path] = set()
    for path, line in places(text):
        if path in seen and path[-1] == name:
            yield path, line
        seen.add(path)


def _message(value: Any, kind: type[Message], path: Path, lines: Mapping[Path, int]) -> Message:
    message = kind()
    try:
        return json_format.ParseDict(value, message)
    except (json_format.ParseError, TypeError, AttributeError) as error:
        # Protobuf names neither the place nor what it expected; a walk, which costs more than the reading, does.
        for place, problem in _wrong(value, cast(Descriptor, message.DESCRIPTOR), path):
            raise _error(lines, place, problem) from None
        raise _error(lines, path, str(error)) from None


def _wrong(value: Any, descriptor: Descriptor, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield what does not fit a message, in the order of the file."""
    if not isinstance(value, dict):
        yield path, "expected an object {…}"
        return
    fields = {name: each for each in descriptor.fields for name in (each.name, each.json_name)}
    for name, content in value.items():
        place = (*path, name)
        if name not in fields:
            known = ", ".join(each.name for each in descriptor.fields)
            yield place, f"{descriptor.name} has no such field; it has {known}"
        elif content is not None:
            yield from _wrong_field(content, fields[name], place)


def _wrong_field(value: Any, described: FieldDescriptor, path: Path) -> Iterator[tuple[Path, str]]:
    if not described.is_repeated:
        yield from _wrong_value(value, described, path)
    elif not isinstance(value, list):
        yield path, "expected a list […]"
    else:
        for place, item in enumerate(value):
            yield from _wrong_value(item, described, (*path, place))


def _wrong_value(value: Any, described: FieldDescriptor, path: Path) -> Iterator[tuple[Path, str]]:
    nested = described.message_type
    if nested is not None and nested.full_name not in _TEXT_LIKE:
        yield from _wrong(value, nested, path)
        return
    name = described.name
    # A message of its own for each value, so that protobuf's own judgement is about this value and no other.
    assert described.containing_type is not None
    message = GetMessageClass(described.containing_type)()
    try:
        json_format.ParseDict({name: [value] if described.is_repeated else value}, message)
    except json_format.ParseError as error:
        yield path, f"{json.dumps(value, ensure_ascii=False)} is not {_expected(described)}: {_reason(error)}"


def _expected(described: FieldDescriptor) -> str:
    if described.enum_type is not None:
        return f"one of {', '.join(described.enum_type.values_by_name)}"
    if described.message_type is not None:
        example = '"1.5s"' if described.message_type.name == "Duration" else '"2026-01-31T12:00:00Z"'
        return f"a {described.message_type.name.lower()} such as {example}"
    match described.cpp_type:
        case FieldDescriptor.CPPTYPE_BOOL:
            return "true or false"
        case FieldDescriptor.CPPTYPE_STRING:
            return "a string"
        case _:
            return "a number of its range"


def _reason(error: json_format.ParseError) -> str:
    """Return protobuf's reason without the path in its own words."""
    return re.sub(r"( at [\w.\[\]]+)?\.*$", "", str(error).rpartition(" field: ")[2])


def _endpoints(snapshot: pb.TopologySnapshot, written: Sequence[Any]) -> Iterator[pb.Endpoint]:
    """Yield the endpoints in which an absent port is the default one; a source's port 0 says that there is none."""
    for instance, told in zip(snapshot.instances, written, strict=True):
        yield instance.endpoint
        yield from instance.reported_replicas
        for number, channel in enumerate(instance.channels):
            if not _says(told, "channels", number, "source", "port"):
                yield channel.source
    for cluster in snapshot.clusters:
        if cluster.HasField("primary"):
            yield cluster.primary


def _wrong_instances(snapshot: pb.TopologySnapshot) -> Iterator[tuple[Path, str]]:
    """Yield what no message can say of itself: endpoints, repeated instances, GTID sets."""
    seen: dict[tuple[str, int], int] = {}
    for place, instance in enumerate(snapshot.instances):
        path: Path = ("instances", place)
        yield from _wrong_endpoint(instance.endpoint, (*path, "endpoint"))
        key = (instance.endpoint.host, instance.endpoint.port or DEFAULT_PORT)
        if key in seen:
            yield (*path, "endpoint"), f"{key[0]}:{key[1]} is instances[{seen[key]}] already"
        seen[key] = place
        for number, channel in enumerate(instance.channels):
            if channel.source.host:
                yield from _wrong_endpoint(channel.source, (*path, "channels", number, "source"))
        yield from _wrong_sets(instance, path)


def _wrong_endpoint(endpoint: pb.Endpoint, path: Path) -> Iterator[tuple[Path, str]]:
    if not endpoint.host:
        yield (*path, "host"), "is required"
    if endpoint.port > 65535:
        yield (*path, "port"), f"{endpoint.port} is not between 1 and 65535"


def _wrong_sets(instance: pb.Instance, path: Path) -> Iterator[tuple[Path, str]]:
    flavor = _FLAVORS.get(instance.flavor)
    if flavor is None:
        return
    texts: list[tuple[Path, str]] = [((*path, name), getattr(instance, name)) for name in _SETS]
    texts.append(((*path, "errant_gtid_set"), instance.errant_gtid_set))
    for number, channel in enumerate(instance.channels):
        texts.append(((*path, "channels", number, "received_gtid_set"), channel.received_gtid_set))
    for place, text in texts:
        try:
            parse_gtid_set(flavor, text)
        except GtidFormatError as error:
            yield place, f"{error}; expected a GTID set of {flavor.value}"

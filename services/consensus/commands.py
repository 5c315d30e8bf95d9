"""Commands of the state machine, and their form in the log: canonical JSON with a kind and a version.

The form is deterministic (sorted keys, no white space), so that equal commands are equal bytes. A member that meets a
kind or version it does not know must halt before it applies it (A3).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Final

VERSION: Final = 1


class UnknownCommand(Exception):
    """An entry of the log is not a command this version knows (A3)."""


class Phase(IntEnum):
    """Where a step of a recovery is in its life; numbered as on the wire."""

    INTENT = 1
    DONE = 2
    FAILED = 3
    UNKNOWN = 4


@dataclass(frozen=True, slots=True)
class GrantLease:
    """Give a lease to a session beside a member (F1)."""

    name: str
    member_id: int
    session_id: str


@dataclass(frozen=True, slots=True)
class ReleaseLease:
    """Give a lease back."""

    name: str
    session_id: str
    fencing_token: int


@dataclass(frozen=True, slots=True)
class ExpireLease:
    """End the lease of a silent session (F3); overtaken by a newer grant it does nothing."""

    name: str
    fencing_token: int


@dataclass(frozen=True, slots=True)
class StepWrite:
    """One step as a command writes it. `hold_ms` None: its statement fits the lease (F5)."""

    number: int
    phase: int
    hold_ms: int | None
    data: bytes


@dataclass(frozen=True, slots=True)
class RegisterRecovery:
    """Open a recovery (F7), with its first steps. `block_period_ms` 0 = no anti-flapping."""

    recovery_id: str
    fencing_token: int
    cluster_id: str
    failed_instance: str
    data: bytes
    block_period_ms: int
    steps: tuple[StepWrite, ...] = ()


@dataclass(frozen=True, slots=True)
class AdoptRecovery:
    """Take over an open recovery with a newer token (F10)."""

    recovery_id: str
    fencing_token: int


@dataclass(frozen=True, slots=True)
class RecordSteps:
    """Write steps of a recovery, all or none (F6). Empty `recovery_data` leaves the record's data alone."""

    recovery_id: str
    fencing_token: int
    steps: tuple[StepWrite, ...]
    recovery_data: bytes


@dataclass(frozen=True, slots=True)
class CloseRecovery:
    """End a recovery."""

    recovery_id: str
    fencing_token: int
    data: bytes
    successful: bool


@dataclass(frozen=True, slots=True)
class PublishPrimary:
    """Write the primary of a cluster; empty `recovery_id`: found as it is."""

    request_id: str
    fencing_token: int
    cluster_id: str
    alias: str
    host: str
    port: int
    server_uuid: str
    recovery_id: str


Command = (
    GrantLease
    | ReleaseLease
    | ExpireLease
    | RegisterRecovery
    | AdoptRecovery
    | RecordSteps
    | CloseRecovery
    | PublishPrimary
)

_KINDS: Final[dict[str, type[Command]]] = {
    "grant_lease": GrantLease,
    "release_lease": ReleaseLease,
    "expire_lease": ExpireLease,
    "register_recovery": RegisterRecovery,
    "adopt_recovery": AdoptRecovery,
    "record_steps": RecordSteps,
    "close_recovery": CloseRecovery,
    "publish_primary": PublishPrimary,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


def encode_command(command: Command) -> bytes:
    """Return the command as it goes into the log."""
    document = {field.name: getattr(command, field.name) for field in fields(command)}
    document |= {"kind": _NAMES[type(command)], "version": VERSION}
    return json.dumps(document, sort_keys=True, separators=(",", ":"), default=_encode_value).encode("ascii")


def decode_command(data: bytes) -> Command:
    """Return the command of an entry.

    Raises:
        UnknownCommand: Not a command, or one of a newer version.
    """
    try:
        document: dict[str, Any] = json.loads(data, object_hook=_decode_value)
        kind, version = document.pop("kind"), document.pop("version")
        if version != VERSION or kind not in _KINDS:
            raise UnknownCommand(f"command {kind!r} of version {version!r}")
        if "steps" in document:
            document["steps"] = tuple(document["steps"])
        return _KINDS[kind](**document)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise UnknownCommand("entry is not a command of this version") from error


def _encode_value(value: bytes | StepWrite) -> dict[str, object]:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _decode_value(document: dict[str, Any]) -> object:
    if document.keys() == {"bytes"}:
        return base64.b64decode(document["bytes"], validate=True)
    return StepWrite(**document) if "phase" in document else document

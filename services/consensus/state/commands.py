"""Commands of the state machine, and their form in the log: canonical JSON with a kind and a version.

The form is deterministic (sorted keys, no white space), so that equal commands are equal bytes. A member that meets a
kind or version it does not know must halt before it applies it (A3).
"""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Final

from services.consensus.state.group_commands import (
    BeginReplacement,
    CancelReplacement,
    CloseSession,
    ExpireSession,
    GroupCommand,
    OpenSession,
    RaiseGroupVersion,
    SessionCommand,
    SetGroupSettings,
    TouchSession,
)
from services.consensus.state.registry.commands import (
    BeginDowntime,
    BeginMaintenance,
    DeleteClusterName,
    DeletePolicy,
    DeletePool,
    DeletePromotionRule,
    DeleteSetting,
    DeleteTag,
    EndDowntime,
    EndDue,
    EndMaintenance,
    RegistryCommand,
    SetClusterName,
    SetPolicy,
    SetPool,
    SetPromotionRule,
    SetSetting,
    SetTag,
)
from services.consensus.state.registry.origin import Origin

VERSION: Final = 1
"""Form of the commands below; a command that came with a later group version says so in `_VERSIONS`."""


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
    """One step as a command writes it.

    Attributes:
        hold_ms: None: its statement fits the lease (F5).
        instance: `host:port` it changes; empty = none, or not said.
    """

    number: int
    phase: int
    hold_ms: int | None
    data: bytes
    instance: str = ""


@dataclass(frozen=True, slots=True)
class RegisterRecovery:
    """Open a recovery (F7), with its first steps.

    Attributes:
        block_period_ms: 0 = no anti-flapping.
        automatic: Nobody asked for it: downtimes and the global switch forbid it.
        policy_revision: Policies its gates were judged by; 0 = not looked at.
    """

    recovery_id: str
    fencing_token: int
    cluster_id: str
    failed_instance: str
    data: bytes
    block_period_ms: int
    steps: tuple[StepWrite, ...] = ()
    automatic: bool = False
    policy_revision: int = 0


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
class NoteStop:
    """Note that an executor stopped within a step because its lease was gone (F8).

    Attributes:
        fencing_token: Of that executor; it need not be the newest.
        statement: Sent and not answered, without secrets; empty = none.
        stop_ms: Unix milliseconds of its own clock.
    """

    recovery_id: str
    fencing_token: int
    step: int
    statement: str
    outcome_known: bool
    stop_ms: int


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
    | NoteStop
    | PublishPrimary
    | RegistryCommand
    | EndDue
    | SessionCommand
    | GroupCommand
)

_KINDS: Final[dict[str, type[Command]]] = {
    "grant_lease": GrantLease,
    "release_lease": ReleaseLease,
    "expire_lease": ExpireLease,
    "register_recovery": RegisterRecovery,
    "adopt_recovery": AdoptRecovery,
    "record_steps": RecordSteps,
    "close_recovery": CloseRecovery,
    "note_stop": NoteStop,
    "publish_primary": PublishPrimary,
    "begin_downtime": BeginDowntime,
    "end_downtime": EndDowntime,
    "begin_maintenance": BeginMaintenance,
    "end_maintenance": EndMaintenance,
    "set_promotion_rule": SetPromotionRule,
    "delete_promotion_rule": DeletePromotionRule,
    "set_tag": SetTag,
    "delete_tag": DeleteTag,
    "set_pool": SetPool,
    "delete_pool": DeletePool,
    "set_cluster_name": SetClusterName,
    "delete_cluster_name": DeleteClusterName,
    "set_policy": SetPolicy,
    "delete_policy": DeletePolicy,
    "set_setting": SetSetting,
    "delete_setting": DeleteSetting,
    "end_due": EndDue,
    "open_session": OpenSession,
    "touch_session": TouchSession,
    "close_session": CloseSession,
    "expire_session": ExpireSession,
    "set_group_settings": SetGroupSettings,
    "raise_group_version": RaiseGroupVersion,
    "begin_replacement": BeginReplacement,
    "cancel_replacement": CancelReplacement,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}
_FIELDS: Final = {kind: tuple(field.name for field in fields(kind)) for kind in _NAMES}
_VALUE_FIELDS: Final = {kind: tuple(field.name for field in fields(kind)) for kind in (StepWrite, Origin)}
_VERSIONS: Final[dict[type[Command], int]] = {}
"""Group version that brought a command, where it is not the first (18.4)."""


def version_of(command: Command) -> int:
    """Return the group version a command needs; a member must not apply it under an older one (A3)."""
    return _VERSIONS.get(type(command), VERSION)


def encode_command(command: Command) -> bytes:
    """Return the command as it goes into the log."""
    document = {name: getattr(command, name) for name in _FIELDS[type(command)]}
    document |= {"kind": _NAMES[type(command)], "version": version_of(command)}
    return _ENCODER.encode(document).encode("ascii")


def decode_command(data: bytes) -> Command:
    """Return the command of an entry.

    Raises:
        UnknownCommand: Not a command, or one of a newer version.
    """
    try:
        document: dict[str, Any] = _DECODER.decode(data.decode("ascii"))
        kind_name, version = document.pop("kind"), document.pop("version")
        kind = _KINDS.get(kind_name)
        if kind is None or version != _VERSIONS.get(kind, VERSION):
            raise UnknownCommand(f"command {kind_name!r} of version {version!r}")
        arguments: dict[str, Any] = {
            name: tuple(each) if isinstance(each, list) else each for name, each in document.items()
        }
        return kind(**arguments)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise UnknownCommand("entry is not a command of this version") from error


def _encode_value(value: bytes | StepWrite | Origin) -> dict[str, object]:
    if isinstance(value, bytes):
        return {"bytes": binascii.b2a_base64(value, newline=False).decode("ascii")}
    return {name: getattr(value, name) for name in _VALUE_FIELDS[type(value)]}


def _decode_value(document: dict[str, Any]) -> object:
    if "kind" in document:
        return document
    if "bytes" in document and len(document) == 1:
        return binascii.a2b_base64(document["bytes"], strict_mode=True)
    return StepWrite(**document) if "phase" in document else Origin(**document)


# Made once: `json.dumps` and `json.loads` with arguments make one for each call.
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_encode_value)
_DECODER: Final = json.JSONDecoder(object_hook=_decode_value)

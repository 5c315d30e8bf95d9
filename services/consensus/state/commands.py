"""Commands of the state machine, and their form in the log: canonical JSON with a kind and a version.

The form is deterministic (sorted keys, no white space), so that equal commands are equal bytes. A member that meets a
kind or version it does not know must halt before it applies it (A3).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec
from msgspec import Struct

from services.consensus.state.group_commands import (
    GroupCommand,
    SessionCommand,
)
from services.consensus.state.log_command import LogCommand
from services.consensus.state.registry.commands import (
    EndDue,
    RegistryCommand,
)


class UnknownCommand(Exception):
    """An entry of the log is not a command this version knows (A3)."""


class Phase(IntEnum):
    """Where a step of a recovery is in its life; numbered as on the wire."""

    INTENT = 1
    DONE = 2
    FAILED = 3
    UNKNOWN = 4


class GrantLease(LogCommand, frozen=True):
    """Give a lease to a session beside a member (F1)."""

    name: str
    member_id: int
    session_id: str


class ReleaseLease(LogCommand, frozen=True):
    """Give a lease back."""

    name: str
    session_id: str
    fencing_token: int


class ExpireLease(LogCommand, frozen=True):
    """End the lease of a silent session (F3); overtaken by a newer grant it does nothing."""

    name: str
    fencing_token: int


class StepWrite(Struct, frozen=True):
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


class RegisterRecovery(LogCommand, frozen=True):
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


class AdoptRecovery(LogCommand, frozen=True):
    """Take over an open recovery with a newer token (F10)."""

    recovery_id: str
    fencing_token: int


class RecordSteps(LogCommand, frozen=True):
    """Write steps of a recovery, all or none (F6). Empty `recovery_data` leaves the record's data alone."""

    recovery_id: str
    fencing_token: int
    steps: tuple[StepWrite, ...]
    recovery_data: bytes


class CloseRecovery(LogCommand, frozen=True):
    """End a recovery."""

    recovery_id: str
    fencing_token: int
    data: bytes
    successful: bool


class NoteStop(LogCommand, frozen=True):
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


class PublishPrimary(LogCommand, frozen=True):
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

_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_DECODER: Final[msgspec.json.Decoder[Command]] = msgspec.json.Decoder(Command)


def encode_command(command: Command) -> bytes:
    """Return the command as it goes into the log."""
    return _ENCODER.encode(command)


def decode_command(data: bytes) -> Command:
    """Return the command of an entry.

    Raises:
        UnknownCommand: Not a command, or one of a newer version.
    """
    try:
        return _DECODER.decode(data)
    except msgspec.MsgspecError as error:
        raise UnknownCommand(f"entry is not a command of this version: {error}") from error

"""What an entry of the log says to the state machine."""

from __future__ import annotations

from services.consensus.raft.configuration import Configuration, decode_configuration
from services.consensus.raft.model import Entry, EntryKind
from services.consensus.state.commands import Command, UnknownCommand, decode_command


def decode_entry(entry: Entry) -> Command | Configuration | None:
    """Return the command, the configuration, or None for a NOOP.

    Raises:
        UnknownCommand: This version does not know it (A3).
    """
    match entry.kind:
        case EntryKind.NOOP:
            return None
        case EntryKind.COMMAND:
            return decode_command(entry.data)
        case EntryKind.CONFIG:
            try:
                return decode_configuration(entry.data)
            except ValueError as error:
                raise UnknownCommand(str(error)) from error

"""What happens to the processes, for people and for programs."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta

from services.ctl.text import Line, bad, dim, good, line, strong, warn
from services.ctl.up.layout import ProcessSpec
from services.ctl.words import span_text


class EventKind(enum.StrEnum):
    """What happened to a process."""

    LISTENING = "listening"
    CRASHED = "crashed"
    MISCONFIGURED = "misconfigured"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a process.

    Attributes:
        kind: What.
        process: To whom.
        pid: Its process id.
        exit_code: What it ended with; negative = the signal that killed it; None = it runs.
        restart_in: When it is started again; None = it is not.
        last_words: Last line of its log.
    """

    kind: EventKind
    process: ProcessSpec
    pid: int
    exit_code: int | None = None
    restart_in: timedelta | None = None
    last_words: str = ""


def event_line(event: Event) -> Line:
    """Return an event as one line."""
    who = strong(f"{event.process.name:<16}")
    match event.kind:
        case EventKind.LISTENING:
            return line(who, " ", good("listens"), f" on {event.process.listen}  ", dim(f"{event.process.log_file}"))
        case EventKind.CRASHED:
            again = f"; starts again in {span_text(event.restart_in)}" if event.restart_in is not None else ""
            return line(who, " ", bad("ended"), f" {_how(event)}{again}", dim(_said(event)))
        case EventKind.MISCONFIGURED:
            return line(who, " ", bad("cannot start"), _said(event))
        case EventKind.KILLED:
            return line(who, " ", warn("did not stop in time and was killed"))


def _how(event: Event) -> str:
    if event.exit_code is not None and event.exit_code < 0:
        return f"by signal {-event.exit_code}"
    return f"with code {event.exit_code}"


def _said(event: Event) -> str:
    return f": {event.last_words}" if event.last_words else f": see {event.process.log_file}"


def event_json(event: Event) -> dict[str, object]:
    """Return an event as JSON values."""
    return {
        "event": event.kind.value,
        "node": event.process.node,
        "service": event.process.service.label,
        "listen": event.process.listen,
        "pid": event.pid,
        "log": str(event.process.log_file),
        "exit_code": event.exit_code,
        "restart_in_s": None if event.restart_in is None else event.restart_in.total_seconds(),
        "last_words": event.last_words,
    }

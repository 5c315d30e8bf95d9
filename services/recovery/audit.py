"""What is written down when an executor had to stop in the middle of its work (rule F8)."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class Stop:
    """An executor stopped within a step because its lease was gone.

    Attributes:
        recovery_id: The recovery, which stays open for the next leader.
        fencing_token: Token of the executor that stopped.
        step: Number of the step.
        kind: Its kind.
        instance: `host:port` it worked on; empty = none.
        statement: What had been sent and not been answered; empty = nothing was under way at the server.
        why: Why it stopped, in a sentence.
        stop_time: When, in UTC.
    """

    recovery_id: str
    fencing_token: int
    step: int
    kind: str
    instance: str
    statement: str
    why: str
    stop_time: datetime

    @property
    def outcome_known(self) -> bool:
        """Whether it is certain what the server did: everything that was sent had been answered."""
        return not self.statement


Audit = Callable[[Stop], None]
"""Writes a stop down; never raises."""


def log_stop(stop: Stop) -> None:
    """Log a stop, with everything that is known of it."""
    facts = {**asdict(stop), "stop_time": stop.stop_time.isoformat(), "outcome_known": stop.outcome_known}
    log.warning("recovery.step_stopped", extra=facts)


class AuditFile:
    """Logs stops and appends them to a file, a JSON object a line, durably."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, stop: Stop) -> None:
        log_stop(stop)
        facts = {**asdict(stop), "stop_time": stop.stop_time.isoformat(), "outcome_known": stop.outcome_known}
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _MODE)
            try:
                os.write(descriptor, json.dumps(facts, separators=(",", ":")).encode() + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.error("recovery.audit_not_written", extra={"file": str(self._path), "problem": str(error)})

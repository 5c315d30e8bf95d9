"""What is written down when an executor had to stop in the middle of its work (rule F8)."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from services.recovery.model import Stop

log = logging.getLogger(__name__)

_MODE: Final = 0o600


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

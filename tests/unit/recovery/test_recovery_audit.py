"""What had to stop in the middle is written down, in the log and in a file."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.recovery.audit import AuditFile
from services.recovery.model import Stop

STOP = Stop("r1", 7, 3, "fence", "db1:3306", "SET GLOBAL read_only = ON", "the lease is lost", datetime.now(UTC))


def test_stops_are_appended_a_line_each(tmp_path: Path) -> None:
    file = tmp_path / "audit.ndjson"
    audit = AuditFile(file)
    audit(STOP)
    audit(STOP)
    first, second = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
    assert first == second
    assert (first["step"], first["statement"], first["outcome_known"]) == (3, "SET GLOBAL read_only = ON", False)
    assert file.stat().st_mode & 0o077 == 0


def test_file_that_cannot_be_written_is_told_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        AuditFile(tmp_path / "missing" / "audit.ndjson")(STOP)
    assert [record.message for record in caplog.records] == ["recovery.step_stopped", "recovery.audit_not_written"]

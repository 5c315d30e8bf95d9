"""`primacy analyze` as people run it: a process, its two outputs, its exit code."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.integration.analysis.conftest import ROOT

SNAPSHOTS = ROOT / "tests" / "testdata" / "snapshots"


async def analyze(*arguments: str, given: bytes = b"") -> tuple[int, bytes, bytes]:
    """Run the command; return its exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.ctl",
        "analyze",
        *arguments,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(given)
    assert process.returncode is not None
    return process.returncode, out, err


async def test_a_file_is_judged_one_line_a_finding() -> None:
    code, out, err = await analyze("--snapshot", str(SNAPSHOTS / "DeadMasterAndSomeReplicas.json"), "--output", "json")
    assert (code, err) == (0, b"")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["instance"], line["orchestrator_code"], line["actionable"]) for line in lines] == [
        ("db0:3306", "DeadMasterAndSomeReplicas", True),
        ("db2:3306", "FirstTierReplicaFailingToConnectToMaster", False),
    ]


async def test_flags_reach_the_rules() -> None:
    file = str(SNAPSHOTS / "suppressed-by-downtime.json")
    assert b"DeadMaster" not in (await analyze("--snapshot", file))[1]
    assert b"DeadMaster" in (await analyze("--snapshot", file, "--downtimed"))[1]


async def test_standard_input_is_a_file_too() -> None:
    code, out, _ = await analyze("--snapshot", "-", given=(SNAPSHOTS / "DeadMaster.json").read_bytes())
    assert (code, out.splitlines()[0]) == (0, b"db0:3306 (cluster orders): DeadMaster")


@pytest.mark.parametrize("content", ['{\n "instances": [{\n  "endpoint": 7}]}', "{", ""])
async def test_a_malformed_file_ends_with_2_and_says_nothing_on_standard_output(content: str, tmp_path: Path) -> None:
    file = tmp_path / "topology.json"
    file.write_text(content, encoding="utf-8")
    code, out, err = await analyze("--snapshot", str(file), "--output", "json")
    assert (code, out) == (2, b"")
    assert b"line " in err
    if "endpoint" in content:
        assert b"line 3: instances[0].endpoint" in err

"""The demo, as `make demo-picture` runs it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest


@pytest.mark.mysql
@pytest.mark.timeout(300)
async def test_demo_promotes_a_replica_and_draws_it(tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "demo", "--svg", str(picture)), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 280)
    text = out.decode()

    assert process.returncode == 0, text
    assert "0 lost" in text
    assert max(len(line) for line in text.splitlines()) <= 100
    assert starts_as_svg(picture)


def starts_as_svg(picture: Path) -> bool:
    """Return whether a file looks like a picture."""
    return picture.read_text(encoding="utf-8").startswith("<svg")

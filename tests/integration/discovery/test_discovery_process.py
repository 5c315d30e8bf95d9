"""Starting and stopping, without any server."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest


async def run(tmp_path: Path, settings: Mapping[str, str]) -> tuple[int, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PRIMACY_")}
    defaults = {"LISTEN": "127.0.0.1:0", "STORE_URL": f"sqlite:///{tmp_path}/discovery.db"}
    names = {f"PRIMACY_DISCOVERY_{name}": value for name, value in {**defaults, **settings}.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.discovery", env={**clean, **names}, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, errors.decode()


@pytest.mark.parametrize(
    ("settings", "code", "says"),
    [
        pytest.param({"POLL": "5"}, 78, "PRIMACY_DISCOVERY_POLL", id="duration_without_unit"),
        pytest.param({"POLL": "0s"}, 78, "poll must be longer", id="no_pause"),
        pytest.param({"SEEDS": '["nonsense"]'}, 78, "PRIMACY_DISCOVERY_SEEDS", id="bad_seed"),
        pytest.param({"SEED": '["a:1"]'}, 78, "unknown settings: PRIMACY_DISCOVERY_SEED;", id="misspelt"),
        pytest.param({"LOG_LEVEL": "LOUD"}, 78, "LOUD", id="no_such_level"),
        pytest.param({"MYSQL_PASSWORD_FILE": "/no/such/file"}, 78, "/no/such/file", id="no_password_file"),
        pytest.param({"STORE_URL": "sqlite:////no/such/dir/x.db"}, 74, "/no/such/dir/x.db", id="no_store"),
        pytest.param({"LISTEN": "0.0.0.0:0"}, 78, "allow_plaintext", id="plain_text_off_loopback"),
    ],
)
async def test_mistake_is_told_in_one_line(tmp_path: Path, settings: dict[str, str], code: int, says: str) -> None:
    returned, errors = await run(tmp_path, settings)
    assert returned == code
    assert says in errors
    assert "Traceback" not in errors
    assert len([line for line in errors.splitlines() if not line.startswith("{")]) == 1


async def test_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        returned, errors = await run(tmp_path, {"LISTEN": f"127.0.0.1:{taken.getsockname()[1]}"})
    assert returned == 78
    assert "cannot listen on" in errors
    assert "Traceback" not in errors

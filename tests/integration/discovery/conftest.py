"""Fixtures for tests of discovery against real servers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.integration.discovery.discovery_world import Discovery
from tests.support.lab import Fleet

FAST = {"POLL": "500ms", "POLL_JITTER": "0.1"}

StartDiscovery = Callable[..., Awaitable[Discovery]]


@pytest.fixture
async def start_discovery(tmp_path: Path) -> AsyncIterator[StartDiscovery]:
    """Start discoveries that end with the test, polling twice a second, with the accounts of a fleet."""
    async with AsyncExitStack() as stack:
        count = 0

        async def start(fleet: Fleet, seeds: Sequence[str] = (), **settings: str) -> Discovery:
            nonlocal count
            count += 1
            directory = tmp_path / f"discovery{count}"
            directory.mkdir()
            account = fleet.credentials.management
            password_file = directory / "password"
            password_file.write_text(account.password, encoding="utf-8")
            names = {
                **FAST,
                "MYSQL_USER": account.user,
                "MYSQL_PASSWORD_FILE": str(password_file),
                "SEEDS": json.dumps(list(seeds)),
                **settings,
            }
            discovery = await Discovery.start(directory, **names)
            stack.push_async_callback(discovery.stop)
            return discovery

        yield start

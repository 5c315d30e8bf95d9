"""A running group of three that the tests of one module share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.consensus_group import Group, consensus_group


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def group(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Group]:
    """Three members with a leader; sessions are lost after 600 ms of silence."""
    directory = tmp_path_factory.mktemp("group")
    async with consensus_group(directory, extra={"session_ttl": "600ms"}) as running:
        for member in running.members:
            member.start()
        await running.leader()
        yield running

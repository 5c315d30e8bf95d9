"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.lab import Lab


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A lab of the test's own. A server that can not be had fails the test that asks for it, it never skips."""
    async with Lab() as running:
        yield running

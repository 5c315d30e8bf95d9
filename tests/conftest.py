"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import settings

from tests.support.lab import Lab

# How long an example takes says more about the machine than about the code.
settings.register_profile("primacy", deadline=None)
settings.load_profile("primacy")


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A lab of the test's own. A server that can not be had fails the test that asks for it, it never skips."""
    async with Lab() as running:
        yield running

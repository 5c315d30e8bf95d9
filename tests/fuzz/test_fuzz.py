"""A few seconds of `make fuzz`, always from the same seed."""

from __future__ import annotations

from tests.fuzz.campaign import campaign


async def test_group_goes_on_under_attack() -> None:
    assert await campaign(seed=1, seconds=5) > 20

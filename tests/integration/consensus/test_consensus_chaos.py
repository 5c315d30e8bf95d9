"""A short campaign of faults against real members; `make chaos` runs long ones."""

from __future__ import annotations

import pytest

from tests.chaos.campaign import run_campaign
from tests.chaos.plan import Plan


@pytest.mark.timeout(300)
async def test_group_under_faults_loses_nothing_doubles_nothing_and_never_leads_twice() -> None:
    outcome = await run_campaign(Plan(seed=3, size=3, seconds=15, poll_ms=10))
    assert outcome.violations == []
    assert outcome.schedule.kills > 0
    assert outcome.rows_compared > 100
    assert outcome.acknowledged > 100
    assert (outcome.lost, outcome.doubled, outcome.overlaps) == (0, 0, 0)

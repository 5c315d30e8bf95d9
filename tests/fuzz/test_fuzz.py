"""A few seconds of `make fuzz`, always from the same seed."""

from __future__ import annotations

from tests.fuzz.campaign import attacked_group, campaign
from tests.fuzz.silence import FEW_FILES, keep_silent


async def test_group_goes_on_under_attack() -> None:
    found = await campaign(seed=1, seconds=5)
    assert found.violations == []
    assert found.endings.total() > 20
    assert found.endings["PEER_REFUSED"] > 0


async def test_member_goes_on_when_others_have_all_the_files_it_may_open() -> None:
    async with attacked_group() as group:
        found = await keep_silent(group, 400, member_files=FEW_FILES)
    assert found.violations == []
    assert found.opened == 400

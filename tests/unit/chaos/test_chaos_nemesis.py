"""What each seed draws."""

from __future__ import annotations

import random

import pytest

from tests.chaos.nemesis import KILLS, Fault, Mix


@pytest.mark.parametrize("seed", range(20))
def test_most_of_what_is_done_kills_and_half_of_it_the_leader(seed: int) -> None:
    mix = Mix.draw(random.Random(seed), small_disk=True)
    assert set(mix.weights) == set(Fault)
    assert sum(mix.weights.values()) == pytest.approx(1)
    kills = sum(mix.weights[fault] for fault in KILLS)
    assert 0.6 <= kills <= 0.9
    assert 0.2 < mix.weights[Fault.KILL_LEADER] / kills < 0.7


def test_no_disk_is_filled_where_none_is_small() -> None:
    mix = Mix.draw(random.Random(1), small_disk=False)
    assert Fault.FILL_DISK not in mix.weights
    assert sum(mix.weights.values()) == pytest.approx(1)


def test_seeds_draw_mixes_of_their_own() -> None:
    assert len({Mix.draw(random.Random(seed), small_disk=True).whole for seed in range(10)}) == 10

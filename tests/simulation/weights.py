"""What a seed makes of the world: how often things break, how fast disks and links are, how busy clients are."""

from __future__ import annotations

import random
from dataclasses import dataclass

from services.consensus.model import MILLISECOND


@dataclass(frozen=True, slots=True)
class Weights:
    """One seed's world. Times in nanoseconds, chances in 0..1.

    Every seed draws its own: worlds that are all alike miss most mistakes for hundreds of seeds.
    """

    member_count: int
    fault_time: int
    tick: int
    loop_delay: int
    drop: float
    duplicate: float
    delay_min: int
    delay_max: int
    tail_chance: float
    tail_max: int
    fsync_min: int
    fsync_max: int
    client_pause: int
    read_share: float
    executor_pause: int
    nemesis_pause: int
    nemesis: tuple[tuple[str, float], ...]
    aim_at_leader: float
    crash_in_write: float
    drift_ppm: tuple[int, ...]
    election_max: int
    window: int
    batch: int


def draw_weights(rng: random.Random, fault_seconds: float) -> Weights:
    """Draw the world of a seed."""
    count = rng.choice((1, 3, 3, 3, 3, 5, 5))
    calm = rng.random() < 0.2
    return Weights(
        member_count=count,
        fault_time=int(fault_seconds * 1000) * MILLISECOND,
        tick=rng.choice((10, 10, 20, 30)) * MILLISECOND,
        loop_delay=rng.choice((0, 0, 1, 2)) * MILLISECOND,
        drop=0.0 if calm else rng.choice((0.0, 0.01, 0.05, 0.2)),
        duplicate=rng.choice((0.0, 0.02, 0.1)),
        delay_min=rng.choice((100_000, MILLISECOND)),
        delay_max=rng.choice((1, 5, 20, 60, 150)) * MILLISECOND,
        tail_chance=0.0 if calm else rng.choice((0.0, 0.01, 0.05)),
        tail_max=rng.choice((500, 1500, 4000)) * MILLISECOND,
        fsync_min=rng.choice((100_000, MILLISECOND)),
        fsync_max=rng.choice((1, 5, 5, 40, 200)) * MILLISECOND,
        client_pause=rng.choice((2, 10, 50, 300)) * MILLISECOND,
        read_share=rng.choice((0.0, 0.2, 0.6)),
        executor_pause=rng.choice((10, 40, 100)) * MILLISECOND,
        nemesis_pause=rng.choice((50, 150, 400, 900)) * MILLISECOND,
        nemesis=_draw_nemesis(rng),
        aim_at_leader=rng.choice((0.2, 0.6, 0.9)),
        crash_in_write=rng.choice((0.0, 0.0, 0.002, 0.02)),
        drift_ppm=tuple(rng.choice((-10_000, 10_000, rng.randint(-10_000, 10_000))) for _ in range(count)),
        election_max=rng.choice((450, 600, 900)) * MILLISECOND,
        window=rng.choice((2, 4, 64)),
        batch=rng.choice((4, 16, 1024)),
    )


_NEMESES = (
    "crash",
    "restart",
    "pause",
    "split",
    "isolate",
    "one_way",
    "link",
    "clog",
    "rival",
    "heal",
    "slow_disk",
    "full",
    "everybody",
)


def _draw_nemesis(rng: random.Random) -> tuple[tuple[str, float], ...]:
    weights = {name: rng.choice((0.0, 0.0, 0.3, 1.0, 4.0)) for name in _NEMESES}
    weights["restart"] = max(weights["restart"], weights["crash"] / 2, 0.3)
    weights["heal"] = max(weights["heal"], 0.2)
    weights["everybody"] *= 0.2
    return tuple(weights.items())

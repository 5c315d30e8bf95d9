"""What a seed makes of the world: how often things break, how fast disks and links are, how busy clients are."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from services.consensus.raft.model import MILLISECOND
from services.consensus.raft.retention import Retention

Chances = tuple[tuple[str, float], ...]


class Suite(Enum):
    """Which rules a run stands under."""

    FULL = "full"
    """Everything 21.2 names, within the fault model."""
    BARE = "bare"
    """The protocol alone: opaque commands, no executors, operators or compaction; measures the core's speed."""
    DRIFT = "drift"
    """Clock rates differ by ten times the bound: leases may overlap, and only 13.4 must hold."""


@dataclass(frozen=True, slots=True)
class Weights:
    """One seed's world. Times in nanoseconds, chances in 0..1.

    Every seed draws its own: worlds that are all alike miss most mistakes for hundreds of seeds.
    """

    suite: Suite
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
    load_pause: int
    load_burst: int
    read_share: float
    client_count: int
    client_pause: int
    executor_pause: int
    instances_fence: bool
    executor_stall: float
    hold_share: float
    nemesis_pause: int
    nemesis: Chances
    operator_pause: int
    operators: Chances
    aim_at_leader: float
    crash_in_write: float
    drift_ppm: int
    election_max: int
    window: int
    batch: int
    uncommitted: int
    compact_every: int
    trailing: int
    max_log: int
    follower_memory: int
    witness_every: int

    def retention(self) -> Retention | None:
        """Return how much of the log is kept; None = all of it."""
        if not self.compact_every:
            return None
        trailing = min(self.trailing, self.compact_every - 1)
        return Retention(self.compact_every, 1 << 30, trailing, self.max_log, self.follower_memory)


def draw_weights(rng: random.Random, fault_seconds: float, suite: Suite) -> Weights:
    """Draw the world of a seed."""
    calm = rng.random() < 0.2
    bare = suite is Suite.BARE
    fences = suite is Suite.DRIFT or rng.random() < 0.5
    return Weights(
        suite=suite,
        member_count=rng.choice((1, 3, 3, 3, 3, 4, 5, 5)),
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
        load_pause=rng.choice((2, 10, 50, 300)) * MILLISECOND,
        load_burst=rng.choice((1, 1, 1, 5, 40)),
        read_share=rng.choice((0.0, 0.2, 0.6)),
        client_count=0 if bare else rng.choice((0, 0, 2, 4, 8)),
        client_pause=rng.choice((5, 20, 80)) * MILLISECOND,
        executor_pause=0 if bare else rng.choice((10, 40, 100)) * MILLISECOND,
        instances_fence=fences,
        executor_stall=rng.choice((0.0, 0.02, 0.1)) if fences else 0.0,
        hold_share=rng.choice((0.0, 0.1, 0.4)),
        nemesis_pause=rng.choice((50, 150, 400, 900)) * MILLISECOND,
        nemesis=_draw(rng, NEMESES),
        operator_pause=rng.choice((100, 300, 1000)) * MILLISECOND,
        operators=() if bare or rng.random() < 0.4 else _draw(rng, OPERATIONS),
        aim_at_leader=rng.choice((0.2, 0.6, 0.9)),
        crash_in_write=rng.choice((0.0, 0.0, 0.002, 0.02)),
        drift_ppm=100_000 if suite is Suite.DRIFT else 10_000,
        election_max=rng.choice((450, 600, 900)) * MILLISECOND,
        window=rng.choice((2, 4, 64)),
        batch=rng.choice((4, 16, 1024)),
        uncommitted=rng.choice((2_000, 50_000, 200_000)),
        compact_every=0 if bare else rng.choice((0, 20, 100, 400)),
        trailing=rng.choice((0, 5, 50)),
        max_log=rng.choice((0, 10_000, 1 << 30)),
        follower_memory=rng.choice((300, 3000)) * MILLISECOND,
        witness_every=rng.choice((1, 10, 100)),
    )


NEMESES = (
    "crash",
    "restart",
    "pause",
    "freeze",
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
    "lie",
    "backup",
    "rot",
)
RARE = {"everybody": 0.2, "lie": 0.1, "backup": 0.1, "rot": 0.05}
OPERATIONS = ("transfer", "step_down", "add", "promote", "remove", "replace", "prefer")


def _draw(rng: random.Random, names: tuple[str, ...]) -> Chances:
    weights = {name: rng.choice((0.0, 0.0, 0.3, 1.0, 4.0)) * RARE.get(name, 1.0) for name in names}
    if "crash" in weights:
        weights["restart"] = max(weights["restart"], weights["crash"] / 2, 0.3)
        weights["heal"] = max(weights["heal"], 0.2)
    else:
        weights["transfer"] = max(weights["transfer"], 0.1)
    return tuple(weights.items())

"""How a simulation fails."""

from __future__ import annotations

from services.consensus.raft.model import MILLISECOND
from tests.simulation.weights import Weights


class SimulationFailure(Exception):
    """An invariant of section 21.3, or liveness, does not hold.

    Attributes:
        rule: Which one.
        at_ms: Virtual time in milliseconds.
    """

    def __init__(self, seed: int, weights: Weights, rule: str, at_ms: int, facts: str, trail: list[str]) -> None:
        """Say what broke, and how to see it again."""
        seconds = weights.fault_time / (1000 * MILLISECOND)
        replay = (
            f"python -m tests.simulation --suite {weights.suite.value} --seconds {seconds:g} --seeds 1 --from {seed} "
            "--trail 400"
        )
        story = "\n  ".join(trail)
        super().__init__(f"{rule} at {at_ms} ms: {facts}\n  {story}\nseed {seed}; replay: {replay}")
        self.rule = rule
        self.at_ms = at_ms

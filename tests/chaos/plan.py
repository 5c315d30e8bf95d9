"""What is done in one campaign, and how to ask for it again."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """One campaign.

    Attributes:
        seed: Draws the faults and the clients' choices.
        size: Number of members.
        seconds: How long faults go on.
        poll_ms: How often the outside observer asks each member.
        kills: Faults end early once so many processes were killed.
    """

    seed: int
    size: int
    seconds: float
    poll_ms: float = 2.0
    kills: float = math.inf

    @property
    def command(self) -> str:
        """The command that draws the same faults again; processes and their timing are never the same."""
        return (
            f"python -m tests.chaos --seed {self.seed} --members {self.size} --campaign {self.seconds:.0f}"
            f" --campaigns 1 --poll-ms {self.poll_ms:g}"
        )

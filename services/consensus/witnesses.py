"""Several witnesses as one."""

from __future__ import annotations

from services.consensus.ports import Witness
from services.consensus.raft.outputs import Output


class Witnesses:
    """Tells each of them, in order."""

    def __init__(self, *witnesses: Witness) -> None:
        """Take whom to tell."""
        self._witnesses = witnesses

    def output(self, now: int, output: Output) -> None:
        """Take an output."""
        for witness in self._witnesses:
            witness.output(now, output)

    def durable(self, now: int, batch: int) -> None:
        """Take note that a batch and all before it are durable."""
        for witness in self._witnesses:
            witness.durable(now, batch)

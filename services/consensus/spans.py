"""Spans of a command that is part of a trace: `propose`, and within it `persist`, `replicate` and `apply` (19).

A command travels in a batch, so these are the times of the batch that carried it: the first one a leader appended
after it was asked. They are put together when the command is answered, and cost nothing to commands without a trace.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import Tracer, set_span_in_context

from services.consensus.ports import Clock, WallClock
from services.consensus.raft.model import MILLISECOND, Role
from services.consensus.raft.outputs import Output, PersistBatch
from services.consensus.state.commands import Command
from services.shared.runtime.tracing import is_traced

_KEPT: Final = 256
"""Batches that are remembered."""


@dataclass(slots=True)
class _Batch:
    number: int
    last_index: int
    appended_at: int
    durable_at: int = 0
    committed_at: int = 0


class CommandSpans:
    """Makes the spans of commands; a witness of the core, by whom it learns the times."""

    def __init__(self, tracer: Tracer, clock: Clock, wall_clock: WallClock) -> None:
        """Take what makes spans, T1, and T4 to tell the times by."""
        self._tracer = tracer
        self._clock = clock
        self._wall_clock = wall_clock
        self._leads = False
        self._batches: deque[_Batch] = deque(maxlen=_KEPT)

    def output(self, now: int, output: Output) -> None:
        """Note what a leader appended, and what is committed."""
        if output.leadership is not None:
            self._leads = output.leadership.role is Role.LEADER
        for batch in output.persist if self._leads else ():
            self._appended(now, batch)
        if output.committed:
            index = output.committed[-1].index
            for known in self._batches:
                if not known.committed_at and known.last_index <= index:
                    known.committed_at = now

    def durable(self, now: int, batch: int) -> None:
        """Note what is durable."""
        for known in self._batches:
            if not known.durable_at and known.number <= batch:
                known.durable_at = now

    def answered(self, command: Command, asked_at: int, outcome: str) -> None:
        """Tell of a command, if it is part of a trace.

        Args:
            command: What was proposed.
            asked_at: When it was proposed (T1).
            outcome: What became of it, as the counter `proposals_total` says it.
        """
        if not is_traced():
            return
        now = self._clock()
        to_wall = self._wall_clock() * MILLISECOND - now
        facts = {"command": type(command).__name__, "outcome": outcome}
        propose = self._tracer.start_span("propose", start_time=asked_at + to_wall, attributes=facts)
        within = set_span_in_context(propose)
        batch = next((known for known in self._batches if known.appended_at >= asked_at), None)
        if batch is not None:
            for name, began, ended in (
                ("persist", batch.appended_at, batch.durable_at),
                ("replicate", batch.appended_at, batch.committed_at),
                ("apply", batch.committed_at, now if batch.committed_at else 0),
            ):
                if ended:
                    span = self._tracer.start_span(name, within, start_time=began + to_wall)
                    span.end(ended + to_wall)
        propose.end(now + to_wall)

    def _appended(self, now: int, batch: PersistBatch) -> None:
        if batch.entries:
            self._batches.append(_Batch(batch.number, batch.entries[-1].index, now))

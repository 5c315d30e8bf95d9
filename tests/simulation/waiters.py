"""Who waits for an answer of one member: proposals until their entry is applied, reads until the state is as far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.consensus.raft.model import Entry
from services.consensus.raft.outputs import ProposalOutcome, ProposalResult, ReadOutcome, ReadResult
from services.consensus.state.machine import Applied, Machine
from tests.simulation.process import NOT_DONE, UNKNOWN, Fate, Reply

if TYPE_CHECKING:
    from tests.simulation.world import World


class Waiters:
    """They are forgotten with the process; whoever asked hears nothing then."""

    def __init__(self, world: World) -> None:
        """Start with nobody."""
        self._world = world
        self._appended: dict[int, tuple[int, int]] = {}  # Last index of an own proposal -> (term, waiter).
        self._reads: list[tuple[int, int]] = []

    @property
    def any_read(self) -> bool:
        """True while reads wait for the state."""
        return bool(self._reads)

    def proposed(self, result: ProposalResult) -> None:
        """Hear what became of a proposal (P5)."""
        if result.outcome is ProposalOutcome.APPENDED:
            self._appended[result.last_index] = (result.term, result.waiter)
        elif result.outcome is ProposalOutcome.UNKNOWN:
            self._appended.pop(result.last_index, None)
            self._world.reply(result.waiter, UNKNOWN)
        elif result.outcome is ProposalOutcome.REFUSED:
            self._world.reply(result.waiter, Reply(Fate.NOT_DONE, result.blocker))
        else:
            self._world.reply(result.waiter, NOT_DONE)

    def applied(self, entry: Entry, applied: Applied) -> None:
        """Answer whoever proposed an entry, if it is that one."""
        term, waiter = self._appended.pop(entry.index, (0, 0))
        if waiter and term == entry.term:
            self._world.checker.acknowledged(entry)
            self._world.reply(waiter, Reply(Fate.DONE, applied.result, entry.index))

    def read(self, read: ReadResult) -> None:
        """Hear what became of a read."""
        if read.outcome is ReadOutcome.READY:
            self._reads.append((read.waiter, read.index))
        else:
            self._world.reply(read.waiter, NOT_DONE)

    def answer_reads(self, machine: Machine) -> None:
        """Answer the reads that the state is far enough for."""
        applied = machine.mark.applied_index
        waiting = self._reads
        self._reads = [(waiter, index) for waiter, index in waiting if index > applied]
        for waiter, index in waiting:
            if index <= applied:
                self._world.checker.read_answered(waiter, applied)
                self._world.reply(waiter, Reply(Fate.DONE, machine, applied))

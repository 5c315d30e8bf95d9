"""Links between members: they lose, delay, repeat and reorder messages, and snapshots travel in chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.consensus.raft.events import PeerUnreachable, SnapshotSent
from services.consensus.raft.messages import AppendAck, AppendRequest, HeartbeatAck
from services.consensus.raft.model import MILLISECOND, LogMark
from services.consensus.raft.outputs import Outgoing
from services.consensus.state.machine import Mark
from tests.simulation.rows_in_memory import Tables

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World

MAX_FAILURES = 12
"""Chunks of one snapshot that may be lost before its sender gives up."""
INSTALL_WITHIN = 3000 * MILLISECOND


@dataclass(eq=False, slots=True)
class Transfer:
    """A snapshot on its way. A broken stream goes on at the chunk it had reached (N3)."""

    sender: int
    life: int
    to: int
    mark: Mark
    tables: Tables
    chunks: int
    failures: int = 0
    ended: bool = False

    @property
    def log_mark(self) -> LogMark:
        """Entry the snapshot stands at."""
        return LogMark(self.mark.applied_index, self.mark.applied_term)


class Network:
    """All links of a world."""

    def __init__(self, world: World) -> None:
        """Start with everything connected."""
        self._world = world
        self.cut: set[tuple[int, int]] = set()
        self.late: dict[tuple[int, int], int] = {}  # Link -> extra delay.
        self._open: list[Transfer] = []
        self.append_count = 0
        self.answer_count = 0

    def heal(self) -> None:
        """Connect everything again."""
        self.cut.clear()
        self.late.clear()

    def cut_link(self, sender: int, receiver: int) -> None:
        """Lose everything one member says to another; the sender may notice that the connection broke."""
        self.cut.add((sender, receiver))
        node = self._world.nodes[sender]
        if node.running and self._world.rng.random() < 0.5:
            node.take(PeerUnreachable(receiver))

    def send(self, node: Node, outgoing: Outgoing) -> None:
        """Put a message on its way."""
        world, weights, message = self._world, self._world.weights, outgoing.message
        world.checker.sent(node, outgoing)
        if isinstance(message, AppendRequest):
            self.append_count += 1
        elif isinstance(message, AppendAck):
            self.answer_count += 1
        if (node.member_id, outgoing.to) in self.cut or (not world.calm and world.rng.random() < weights.drop):
            return
        copies = 2 if not world.calm and world.rng.random() < weights.duplicate else 1
        for _ in range(copies):
            delay = self._delay() + self.late.get((node.member_id, outgoing.to), 0)
            world.schedule(delay, self._deliver, node.member_id, outgoing, world.now)

    def send_snapshot(self, node: Node, to: int) -> None:
        """Take a snapshot of a member's state and put it on its way to another (N2)."""
        if to not in self._world.nodes:
            return
        chunks = self._world.rng.randint(1, 6)
        transfer = Transfer(node.member_id, node.life, to, node.machine.mark, node.snapshot_tables(), chunks)
        self._open.append(transfer)
        self._world.schedule(self._delay(), self._chunk, transfer)

    def in_transit(self, node: Node) -> list[LogMark]:
        """Return the marks of the snapshots that a member is sending."""
        self._open = [open_ for open_ in self._open if not open_.ended and self._lives(open_)]
        return [transfer.log_mark for transfer in self._open if transfer.sender == node.member_id]

    def snapshot_done(self, transfer: Transfer) -> None:
        """The receiver has a snapshot installed, or did not need it: tell its sender, if the link lets it."""
        if self._loses(transfer.to, transfer.sender):
            return
        self._world.schedule(self._delay(), self._end, transfer, True)

    def _chunk(self, transfer: Transfer) -> None:
        if transfer.ended or not self._lives(transfer):
            return
        if self._loses(transfer.sender, transfer.to) or not self._world.nodes[transfer.to].up:
            transfer.failures += 1
            if transfer.failures > MAX_FAILURES:
                self._end(transfer, False)
            else:
                self._world.schedule(self._world.rng.randint(50, 500) * MILLISECOND, self._chunk, transfer)
            return
        transfer.chunks -= 1
        if transfer.chunks > 0:
            self._world.schedule(self._delay(), self._chunk, transfer)
            return
        self._world.schedule(self._delay(), self._arrive, transfer)
        self._world.schedule(INSTALL_WITHIN, self._end, transfer, False)
        if not self._world.calm and self._world.rng.random() < self._world.weights.duplicate:
            self._world.schedule(self._world.rng.randint(1, 4000) * MILLISECOND, self._arrive, transfer)

    def _arrive(self, transfer: Transfer) -> None:
        self._world.nodes[transfer.to].snapshot_arrived(transfer)

    def _end(self, transfer: Transfer, delivered: bool) -> None:
        if not transfer.ended and self._lives(transfer):
            transfer.ended = True
            self._world.nodes[transfer.sender].take(SnapshotSent(transfer.to, transfer.log_mark, delivered))

    def _lives(self, transfer: Transfer) -> bool:
        sender = self._world.nodes[transfer.sender]
        return sender.up and sender.life == transfer.life

    def _loses(self, sender: int, receiver: int) -> bool:
        world = self._world
        return (sender, receiver) in self.cut or (not world.calm and world.rng.random() < world.weights.drop)

    def _delay(self) -> int:
        world, weights = self._world, self._world.weights
        if world.calm:
            return world.between(100_000, 2 * MILLISECOND)
        if world.rng.random() < weights.tail_chance:
            return world.between(weights.delay_max, weights.delay_max + weights.tail_max)
        return world.between(weights.delay_min, max(weights.delay_min, weights.delay_max))

    def _deliver(self, sender: int, outgoing: Outgoing, sent_at: int) -> None:
        message = outgoing.message
        receiver = self._world.nodes.get(outgoing.to)
        if receiver is None or not receiver.up or (sender, outgoing.to) in self.cut:
            return
        if isinstance(message, AppendAck | HeartbeatAck) and message.promise_ns > 0:
            self._world.checker.leases.answered(outgoing.to, sender, message.term, sent_at)
        receiver.receive(message)

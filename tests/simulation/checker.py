"""The invariants of section 21.3, looked at whenever something changes.

`raft` watches terms, votes, logs, configurations and commits; `leases` watches leader leases, tokens and statements;
`state` watches what the state machines do. Everybody's secrets are open to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.consensus.raft.messages import TimeoutNow
from services.consensus.raft.model import BootState, Entry, LogMark
from services.consensus.raft.outputs import Outgoing, Output
from tests.simulation.lease_rules import LeaseRules
from tests.simulation.raft_rules import RaftRules
from tests.simulation.state_rules import StateRules

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World


class Checker:
    """Sees everything, and fails the run when a rule is broken."""

    def __init__(self, world: World) -> None:
        """Start before anything happened."""
        self._world = world
        self.raft = RaftRules(world, self.must)
        self.leases = LeaseRules(world, self.must)
        self.state = StateRules(world, self.must)
        self.ack_count = 0
        self._acked_index = 0
        self._read_floor: dict[int, int] = {}

    def started(self, node: Node, boot: BootState) -> None:
        """A member booted."""
        self.raft.started(node, boot)
        self.state.restored(node, "I14")

    def crashed(self, node: Node) -> None:
        """A member stopped."""
        self.raft.crashed(node)

    def observe(self, node: Node, output: Output) -> None:
        """A member gave an output."""
        self.raft.observe(node, output)
        if output.lease is not None and output.lease.valid_until:
            self.leases.leased(node, output.lease.valid_until)

    def compacts(self, node: Node, index: int, in_transit: list[LogMark]) -> None:
        """A member forgets its log up to an index: not above a snapshot it is sending (N1)."""
        lowest = min((mark.index for mark in in_transit), default=index)
        self.must(index <= lowest, "N1", f"{node.member_id} compacts to {index}, a snapshot of {lowest} is on its way")

    def disk_changed(self, node: Node) -> None:
        """Something became durable."""
        self.raft.disk_changed(node)

    def sent(self, node: Node, outgoing: Outgoing) -> None:
        """A message left a member."""
        self.raft.sent(node, outgoing)
        if isinstance(outgoing.message, TimeoutNow):
            self.leases.surrendered(node)

    def acknowledged(self, entry: Entry) -> None:
        """A client got its answer: the entry is in every later leader's log from now on (I15, by I4)."""
        if not self.raft.is_committed(entry):
            self.must(False, "I15", f"{entry.index}@{entry.term} acknowledged, not committed")
        self._acked_index = max(self._acked_index, entry.index)
        self.ack_count += 1

    def read_asked(self, waiter: int) -> None:
        """A client asks for a read: it must see at least what was acknowledged to anybody by now."""
        self._read_floor[waiter] = self._acked_index

    def read_answered(self, waiter: int, applied: int) -> None:
        """A read was answered from a state (12)."""
        floor = self._read_floor.pop(waiter, 0)
        if self.leases.clocks_hold:
            self.must(applied >= floor, "READ", f"answered from {applied}, {floor} was acknowledged before")

    def must(self, holds: bool, rule: str, facts: str) -> None:
        """Fail the run unless a rule holds."""
        if not holds:
            self._world.fail(rule, facts)

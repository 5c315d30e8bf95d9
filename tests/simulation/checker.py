"""Invariants I1-I9, I15, I16 of section 21.3 and linearizable reads, looked at whenever something changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.consensus.messages import VoteRefusal, VoteResponse
from services.consensus.model import BootState, Entry, Role
from services.consensus.outputs import Outgoing, Output
from services.consensus.quorum import majority

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World


class Checker:
    """Sees everything, and fails the run when a rule is broken."""

    def __init__(self, world: World) -> None:
        """Start before anything happened."""
        self._world = world
        self.leaders: dict[int, int] = {}  # I1: term -> member.
        self.chains: dict[tuple[int, int], int] = {}  # I3: (index, term) -> hash of the log up to it.
        self.committed: list[Entry] = []  # I5.
        self._commit_terms: list[tuple[int, int]] = []  # I4: (term it was committed in, index), as they came.
        self._durable_votes: dict[tuple[int, int], int] = {}
        self._votes_sent: dict[tuple[int, int], int] = {}
        self._durable_terms: dict[int, int] = {}
        self._lease_ends: dict[int, int] = {}  # I8: member -> end of its last lease in true time.
        self._newest_statement = 0
        self._newest_grant = 0
        self._logs: dict[int, list[tuple[int, int]]] = {}  # member -> (term, chain) by index, as the core has it.
        self._commit: dict[int, int] = {}
        self._acked_index = 0
        self._read_floor: dict[int, int] = {}
        self.ack_count = 0
        self.statement_count = 0
        self.lease_count = 0

    def started(self, node: Node, boot: BootState) -> None:
        """A member booted."""
        self._logs[node.member_id] = []
        self._commit[node.member_id] = boot.applied_index
        self._extend(node, boot.entries)

    def crashed(self, node: Node) -> None:
        """A member stopped. A group of one tells nobody of what it loses, and may lead the same term again."""
        if len(self._world.nodes) == 1:
            kept = {(entry.index, entry.term) for entry in node.disk.entries}
            self.chains = {place: chain for place, chain in self.chains.items() if place in kept}
            self.leaders.clear()
        self.disk_changed(node)

    def observe(self, node: Node, output: Output) -> None:
        """A member gave an output."""
        for batch in output.persist:
            if batch.truncate_from is not None:
                self._truncated(node, batch.truncate_from)
            self._extend(node, batch.entries)
        leadership = output.leadership
        if leadership is not None and leadership.role is Role.LEADER:
            self._leads(node, leadership.term)
        if output.committed:
            self._commits(node, output.committed)
        if output.lease is not None and output.lease.valid_until:
            self._leased(node, output.lease.valid_until)

    def disk_changed(self, node: Node) -> None:
        """Something became durable (I7)."""
        hard, member = node.disk.hard_state, node.member_id
        self._must(hard.current_term >= self._durable_terms.get(member, 0), "I7", f"term of {member} fell")
        self._durable_terms[member] = hard.current_term
        if hard.voted_for:
            earlier = self._durable_votes.setdefault((member, hard.current_term), hard.voted_for)
            self._must(earlier == hard.voted_for, "I7", f"{member} voted twice in {hard.current_term}")

    def sent(self, node: Node, outgoing: Outgoing) -> None:
        """A message left a member (I7)."""
        message = outgoing.message
        if isinstance(message, VoteResponse) and message.refusal is VoteRefusal.NONE:
            earlier = self._votes_sent.setdefault((node.member_id, message.term), outgoing.to)
            self._must(earlier == outgoing.to, "I7", f"{node.member_id} granted twice in {message.term}")

    def acknowledged(self, node: Node, waiter: int, entry: Entry) -> None:
        """A client got its answer (I15)."""
        del node, waiter
        self._acked_index = max(self._acked_index, entry.index)
        self.ack_count += 1

    def granted(self, token: int) -> None:
        """An executor got a token (I9)."""
        self._must(token >= self._newest_grant, "I9", f"token {token} after {self._newest_grant}")
        self._newest_grant = token

    def statement(self, node: Node, token: int) -> None:
        """An executor changed a server (I9)."""
        facts = f"statement of {token} by {node.member_id} after one of {self._newest_statement}"
        self._must(token >= self._newest_statement, "I9", facts)
        self._newest_statement = token
        self.statement_count += 1

    def read_asked(self, waiter: int) -> None:
        """A client asks for a read: it must see at least what was acknowledged to anybody by now."""
        self._read_floor[waiter] = self._acked_index

    def read_answered(self, waiter: int, applied: int) -> None:
        """A read was answered from a state (12)."""
        floor = self._read_floor.pop(waiter)
        self._must(applied >= floor, "READ", f"answered from {applied}, {floor} was acknowledged before it was asked")

    def _leads(self, node: Node, term: int) -> None:
        earlier = self.leaders.setdefault(term, node.member_id)
        self._must(earlier == node.member_id, "I1", f"{earlier} and {node.member_id} lead term {term}")
        for committed_in, index in reversed(self._commit_terms):
            if committed_in < term:
                self._holds(node, index, "I4")
                break

    def _holds(self, node: Node, index: int, rule: str) -> None:
        log, entry = self._logs[node.member_id], self.committed[index - 1]
        held = index <= len(log) and log[index - 1] == (entry.term, self.chains[index, entry.term])
        self._must(held, rule, f"leader {node.member_id} lacks committed entry {index}@{entry.term}")

    def _truncated(self, node: Node, from_index: int) -> None:
        member = node.member_id
        term = node.leadership.term
        status = node.core.status()
        still_leads = node.leadership.role is Role.LEADER and status.role is Role.LEADER and status.term == term
        self._must(not still_leads, "I2", f"leader {member} truncates from {from_index}")
        self._must(from_index > self._commit[member], "I16", f"{member} truncates {from_index}, committed")
        del self._logs[member][from_index - 1 :]

    def _extend(self, node: Node, entries: tuple[Entry, ...]) -> None:
        log = self._logs[node.member_id]
        for entry in entries:
            self._must(entry.index == len(log) + 1, "S3", f"{node.member_id} appends {entry.index}")
            before = log[-1][1] if log else 0
            chain = hash((before, entry.index, entry.term, entry.data))
            known = self.chains.setdefault((entry.index, entry.term), chain)
            self._must(known == chain, "I3", f"{entry.index}@{entry.term} differs on {node.member_id}")
            log.append((entry.term, chain))

    def _commits(self, node: Node, entries: tuple[Entry, ...]) -> None:
        member = node.member_id
        self._must(entries[0].index == self._commit[member] + 1, "I16", f"{member} commits {entries[0].index}")
        self._commit[member] = entries[-1].index
        for entry in entries:
            if entry.index <= len(self.committed):
                same = self.committed[entry.index - 1] == entry
                self._must(same, "I5", f"{member} commits another entry at {entry.index}")
            else:
                self._first_commit(node, entry)

    def _first_commit(self, node: Node, entry: Entry) -> None:
        term = node.core.status().term
        self.committed.append(entry)
        self._commit_terms.append((term, entry.index))
        nodes = self._world.nodes
        durable = [other for other in nodes if other.disk.has(entry)]
        facts = f"{entry.index}@{entry.term} committed by {node.member_id}, durable on {len(durable)}"
        self._must(len(durable) >= majority(len(nodes)), "I6", facts)
        for other in nodes:
            if other.up and other.leadership.role is Role.LEADER and other.leadership.term > term:
                self._holds(other, entry.index, "I4")

    def _leased(self, node: Node, valid_until: int) -> None:
        """Nobody else may rely on a lease now, not even one whose process is gone (I8)."""
        now = self._world.now
        for other, end in self._lease_ends.items():
            if other != node.member_id:
                self._must(end <= now, "I8", f"{node.member_id} and {other} hold a leader lease")
        self._lease_ends[node.member_id] = node.true_time(valid_until)
        self.lease_count += 1

    def _must(self, holds: bool, rule: str, facts: str) -> None:
        if not holds:
            self._world.fail(rule, facts)

"""Invariants of leases, tokens and statements: I8, I9, I10."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from services.consensus.raft.quorum import reached_by
from tests.simulation.weights import Suite

if TYPE_CHECKING:
    from tests.simulation.fleet import Statement
    from tests.simulation.node import Node
    from tests.simulation.world import World


class LeaseRules:
    """Knows true time, which no member does."""

    def __init__(self, world: World, must: Callable[[bool, str, str], None]) -> None:
        """Start without leases."""
        self._world = world
        self._must = must
        self.clocks_hold = world.weights.suite is not Suite.DRIFT
        self._lease_ends: dict[int, int] = {}  # Member -> end of its last lease in true time.
        self._answers: dict[int, dict[int, int]] = {}  # Leader -> member -> when it last answered, in true time.
        self._answer_terms: dict[int, int] = {}
        self.newest_grant = 0
        self._running: list[Statement] = []
        self.lease_count = 0
        self.grant_count = 0
        self.statement_count = 0

    def leased(self, node: Node, valid_until: int) -> None:
        """Nobody else may rely on a lease now, not even one whose process is gone (I8)."""
        now = self._world.now
        for other, end in self._lease_ends.items():
            if end > now and other != node.member_id and self.clocks_hold:
                self._must(False, "I8", f"{node.member_id} and {other} hold a leader lease")
        self._lease_ends[node.member_id] = node.true_time(valid_until)
        self.lease_count += 1

    def surrendered(self, node: Node) -> None:
        """A leader gave its lease up to hand over (8.1 d): its holders have drained."""
        self._lease_ends[node.member_id] = min(self._world.now, self._lease_ends.get(node.member_id, 0))

    def answered(self, leader: int, member: int, term: int, at: int) -> None:
        """A leader hears an answer that was given at a time."""
        if self._answer_terms.get(leader, -1) < term:
            self._answer_terms[leader] = term
            self._answers[leader] = {}
        if self._answer_terms[leader] == term:
            answers = self._answers[leader]
            answers[member] = max(at, answers.get(member, 0))

    def granted(self, node: Node, token: int) -> None:
        """An executor got a token: no short statement of an older one runs any more (I9).

        Where instances fence, stalls and forced transfers may leave one; the next token kills it there (F9).
        """
        self._must(token >= self.newest_grant or not self.clocks_hold, "I9", f"{token} after {self.newest_grant}")
        self.newest_grant = max(token, self.newest_grant)
        now, self.grant_count = self._world.now, self.grant_count + 1
        self._running = [statement for statement in self._running if statement.end > now]
        for statement in self._running:
            fenced = self._world.weights.instances_fence
            older = statement.token < token and not statement.is_hold and self.clocks_hold and not fenced
            self._must(not older, "I9", f"{node.member_id} gets {token} while a statement of {statement.token} runs")

    def statement(self, node: Node, statement: Statement, stalled: bool) -> None:
        """An executor changed a server: its leader had contact with a quorum within E (I10)."""
        self.statement_count += 1
        self._running.append(statement)
        if stalled or not self.clocks_hold:
            return
        voters = self._world.checker.raft.voters_of(node)
        answers = self._answers.get(node.member_id, {})
        heard = [self._world.now if voter == node.member_id else answers.get(voter, -(10**12)) for voter in voters]
        silence = self._world.now - reached_by(heard, len(voters) // 2 + 1)
        longest = node.settings.election_min * (1_000_000 + node.settings.clock_drift_ppm) // 1_000_000
        self._must(silence <= longest, "I10", f"{node.member_id} acts {silence} ns after its last quorum")

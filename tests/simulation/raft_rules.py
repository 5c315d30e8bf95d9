"""Invariants of terms, votes, logs, configurations and commits: I1-I4, I5, I6, I7, I11, I16, I17, I19, I20."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from services.consensus.raft.configuration import decode_configuration
from services.consensus.raft.messages import AppendAck, AppendRequest, PreVoteResponse, VoteRefusal, VoteResponse
from services.consensus.raft.model import START, BootState, Entry, EntryKind, LogMark, Role
from services.consensus.raft.outputs import Outgoing, Output
from services.consensus.raft.quorum import majority
from tests.simulation.member_log import MemberLog, Voters

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World

BOOTSTRAP = LogMark(1, 1)


class RaftRules:
    """Sees the log of every member and what is on its disk."""

    def __init__(self, world: World, must: Callable[[bool, str, str], None]) -> None:
        """Start before anything happened."""
        self._world = world
        self._must = must
        self.leaders: dict[int, int] = {}  # I1: term -> member.
        self.committed: list[Entry] = []  # From the one behind the bootstrap on.
        self._chains: dict[tuple[int, int], int] = {(0, 0): 0, (BOOTSTRAP.index, BOOTSTRAP.term): 0}  # I3
        self._made_by: dict[int, list[tuple[int, int]]] = {}  # Term -> places in `_chains`.
        self._commit_terms: list[tuple[int, int]] = []  # I4: (term it was committed in, index), as they came.
        self._durable_votes: dict[tuple[int, int], int] = {}  # I7: (member, term) -> vote.
        self._votes_sent: dict[tuple[int, int], int] = {}
        self._durable_terms: dict[int, int] = {}
        self._logs: dict[int, MemberLog] = {}
        self._commit: dict[int, int] = {}
        self._configurations: dict[int, Voters] = {0: world.bootstrap_voters}  # By index, committed ones.

    @property
    def committed_index(self) -> int:
        """Newest committed entry."""
        return BOOTSTRAP.index + len(self.committed)

    def is_committed(self, entry: Entry) -> bool:
        """Tell whether an entry is committed."""
        return entry.index <= self.committed_index and self._is_entry(entry)

    def voters_of(self, node: Node) -> Voters:
        """Return the voters of the newest configuration in a member's log (M1)."""
        return self._logs[node.member_id].voters

    def committed_voters(self) -> Voters:
        """Return the voters of the newest committed configuration."""
        return next(reversed(self._configurations.values()))

    def started(self, node: Node, boot: BootState) -> None:
        """A member booted."""
        self._restart_log(node, boot.mark, boot.configuration_index, boot.configuration.voters)
        self._commit[node.member_id] = boot.applied_index
        self._extend(node, boot.entries, booting=True)

    def crashed(self, node: Node) -> None:
        """A member stopped. What it did in a term that is not on its disk, it told nobody (C1), and may do again."""
        if node.disk.is_behind:
            return
        durable = node.disk.store.hard_state.current_term
        for term in [term for term, leader in self.leaders.items() if leader == node.member_id and term > durable]:
            del self.leaders[term]
            for place in self._made_by.pop(term, ()):
                del self._chains[place]
        self.disk_changed(node)

    def observe(self, node: Node, output: Output) -> None:
        """A member gave an output; what it committed it may have counted before a configuration in it was appended."""
        voters_before = self._logs[node.member_id].voters
        for batch in output.persist:
            if batch.install is not None:
                self._installed(node, batch.install)
            if batch.truncate_from is not None:
                self._truncated(node, batch.truncate_from)
            self._extend(node, batch.entries)
        leadership = output.leadership
        if leadership is not None and leadership.role is Role.LEADER:
            self._leads(node, leadership.term)
        if output.committed:
            self._commits(node, output.committed, voters_before)

    def disk_changed(self, node: Node) -> None:
        """Something became durable (I7); nobody asks a member that knows that it lost something."""
        hard, member = node.disk.store.hard_state, node.member_id
        if node.disk.is_behind:
            return
        if hard.current_term < self._durable_terms.get(member, 0):
            self._must(False, "I7", f"term of {member} fell")
        self._durable_terms[member] = hard.current_term
        if hard.voted_for:
            earlier = self._durable_votes.setdefault((member, hard.current_term), hard.voted_for)
            if earlier != hard.voted_for:
                self._must(False, "I7", f"{member} voted twice in {hard.current_term}")

    def sent(self, node: Node, outgoing: Outgoing) -> None:
        """A message left a member (I7, I19, I20)."""
        message, settings = outgoing.message, node.settings
        if isinstance(message, AppendRequest):
            size = sum([len(entry.data) for entry in message.entries])  # A list is faster than a generator here.
            if len(message.entries) > settings.max_batch or size > settings.max_append_bytes:
                self._must(False, "I19", f"Append of {len(message.entries)} entries, {size} bytes")
        elif isinstance(message, VoteResponse | PreVoteResponse):
            granted = message.refusal is VoteRefusal.NONE
            self._must(not (granted and node.quarantine), "I20", f"{node.member_id} grants, {node.quarantine}")
            if granted and isinstance(message, VoteResponse):
                earlier = self._votes_sent.setdefault((node.member_id, message.term), outgoing.to)
                self._must(earlier == outgoing.to, "I7", f"{node.member_id} granted twice in {message.term}")
        elif isinstance(message, AppendAck) and node.quarantine:
            self._must(False, "I20", f"{node.member_id} acknowledges, {node.quarantine}")

    def _leads(self, node: Node, term: int) -> None:
        member = node.member_id
        earlier = self.leaders.setdefault(term, member)
        self._must(earlier == member, "I1", f"{earlier} and {member} lead term {term}")
        self._must(not node.quarantine, "I20", f"{member} leads, {node.quarantine}")
        voters = self._logs[member].voters
        if voters != (member,):
            votes = [voter for voter in voters if self._durable_votes.get((voter, term)) == member]
            enough = len(votes) >= majority(len(voters))
            self._must(enough, "I17", f"{member} leads {term} by votes of {votes}, voters are {voters}")
        for committed_in, index in reversed(self._commit_terms):
            if committed_in < term:
                self._holds(node, index, "I4")
                break

    def _holds(self, node: Node, index: int, rule: str) -> None:
        entry = self._entry(index)
        held = self._logs[node.member_id].holds(index, entry.term, self._chains[index, entry.term])
        self._must(held, rule, f"leader {node.member_id} lacks committed entry {index}@{entry.term}")

    def _restart_log(self, node: Node, mark: LogMark, configuration_index: int, voters: Voters) -> None:
        chain = self._chains.get((mark.index, mark.term))
        known = chain is not None and (mark in (START, BOOTSTRAP) or mark.index <= self.committed_index)
        self._must(known, "I14", f"{node.member_id} stands at {mark}, which nobody committed")
        self._logs[node.member_id] = MemberLog(mark.index, chain or 0, configuration_index, voters)

    def _installed(self, node: Node, mark: LogMark) -> None:
        """A snapshot takes the place of the log (N4); with its entry in the log it would not be installed (N5)."""
        offered = node.offered(mark)
        self._restart_log(node, mark, offered.configuration_index, offered.configuration.voters)
        self._must(mark.index > self._commit[node.member_id], "N5", f"{node.member_id} installs {mark}")
        self._commit[node.member_id] = mark.index

    def _truncated(self, node: Node, from_index: int) -> None:
        member, term = node.member_id, node.leadership.term
        status = node.core.status()
        still_leads = node.leadership.role is Role.LEADER and status.role is Role.LEADER and status.term == term
        self._must(not still_leads, "I2", f"leader {member} truncates from {from_index}")
        self._must(from_index > self._commit[member], "I16", f"{member} truncates {from_index}, committed")
        self._logs[member].truncate(from_index)

    def _extend(self, node: Node, entries: tuple[Entry, ...], booting: bool = False) -> None:
        log, chains = self._logs[node.member_id], self._chains
        for entry in entries:
            if entry.index != log.last_index + 1:
                self._must(False, "S3", f"{node.member_id} appends {entry.index}")
            chain, place = log.next_chain(entry), (entry.index, entry.term)
            known = chains.get(place)
            if known is None:
                chains[place] = chain
                self._made_by.setdefault(entry.term, []).append(place)
            elif known != chain:
                self._must(False, "I3", f"{entry.index}@{entry.term} differs on {node.member_id}")
            log.append(entry.term, chain)
            if entry.kind is EntryKind.CONFIG:
                voters = decode_configuration(entry.data).voters
                if known is None and not booting:
                    self._reconfigured(node, log, voters)
                log.configured(entry.index, voters)

    def _reconfigured(self, node: Node, log: MemberLog, voters: Voters) -> None:
        """A leader appends a configuration: the one before is committed, and their majorities overlap (I11)."""
        index, before = log.configurations[-1]
        self._must(index <= self.committed_index, "I11", f"{node.member_id} changes the group twice at a time")
        changed = set(before) ^ set(voters)
        self._must(len(changed) <= 1, "I11", f"{node.member_id} changes the voters {before} to {voters} at once")

    def _commits(self, node: Node, entries: tuple[Entry, ...], voters_before: Voters) -> None:
        member = node.member_id
        self._must(entries[0].index == self._commit[member] + 1, "I16", f"{member} commits {entries[0].index}")
        self._commit[member] = entries[-1].index
        for entry in entries:
            if entry.index <= self.committed_index:
                if not self._is_entry(entry):
                    self._must(False, "I5", f"{member} commits another entry at {entry.index}")
            else:
                self._first_commit(node, entry, voters_before)

    def _first_commit(self, node: Node, entry: Entry, voters_before: Voters) -> None:
        term, nodes, voters = node.core.term, self._world.nodes, self._logs[node.member_id].voters
        self.committed.append(entry)
        self._commit_terms.append((term, entry.index))
        if not self._is_durable(entry, voters):
            holders = [other for other in nodes if nodes[other].disk.has(entry.index, entry.term)]
            facts = f"{entry.index}@{entry.term} committed by {node.member_id}, durable on {holders} of {voters}"
            self._must(self._is_durable(entry, voters_before), "I6", facts)
        if entry.kind is EntryKind.CONFIG:
            self._configurations[entry.index] = decode_configuration(entry.data).voters
        for other in nodes.values():
            if other.up and other.leadership.role is Role.LEADER and other.leadership.term > term:
                self._holds(other, entry.index, "I4")

    def _is_durable(self, entry: Entry, voters: Voters) -> bool:
        """Tell whether a majority has an entry on disk.

        A member that lost what it acknowledged neither votes nor leads, so its word counts on (14.6).
        """
        disks = [self._world.nodes[voter].disk for voter in voters]
        index, term = entry.index, entry.term
        return sum([disk.has(index, term) or disk.is_behind for disk in disks]) >= majority(len(voters))

    def _is_entry(self, entry: Entry) -> bool:
        committed = self._entry(entry.index)
        return committed is entry or committed == entry  # Members share their entries; most are the same object.

    def _entry(self, index: int) -> Entry:
        return self.committed[index - BOOTSTRAP.index - 1]

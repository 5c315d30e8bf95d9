"""The invariants I1-I11 of section 21.3, replayed on what real members told of themselves (21.8)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.proof.member_trace import ChainBroken, Chains, Held, Line, TracedLog, TracedMember


@dataclass
class Report:
    """What a check found.

    Attributes:
        counts: How much was checked, by kind.
        violations: What is wrong, each with its rule; empty = nothing.
    """

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = " ".join(f"{name}={count}" for name, count in sorted(self.counts.items()))
        return f"{counts} violations={len(self.violations)}"


@dataclass(frozen=True, slots=True)
class _Committed:
    """An entry that some member committed; `term` is the lowest term in which one did."""

    held: Held
    term: int


class TraceCheck:
    """Takes lines in the order of their time."""

    def __init__(self) -> None:
        self.report = Report()
        self._chains = Chains()
        self._members: dict[int, TracedMember] = {}
        self._leaders: dict[int, int] = {}
        self._votes: dict[tuple[int, int], int] = {}
        self._committed: dict[int, _Committed] = {}
        self._elected: list[tuple[int, int, TracedLog]] = []
        self._newest_grant = 0
        self._newest_statement: dict[str, int] = {}
        self._lease_until = 0

    def take(self, line: Line) -> None:
        """Check one line."""
        kind = line["kind"]
        self.report.counts[kind] += 1
        try:
            if kind == "grant":
                self._grant(line)
            elif kind == "statement":
                self._statement(line)
            else:
                self._of_member(self._member(line["member"]), kind, line)
        except ChainBroken as broken:
            self._must(False, broken.rule, broken.facts, line)

    def finish(self) -> Report:
        """Check what can only be known in the end, and return the report."""
        for term, member_id, log in self._elected:
            self._complete(term, member_id, log)
        self.report.counts["members"] = len(self._members)
        self.report.counts["terms_led"] = len(self._leaders)
        self.report.counts["entries_committed"] = len(self._committed)
        return self.report

    def _member(self, member_id: int) -> TracedMember:
        if member_id not in self._members:
            log, durable = TracedLog(self._chains), TracedLog(self._chains)
            self._members[member_id] = TracedMember(member_id, log, durable)
        return self._members[member_id]

    def _of_member(self, member: TracedMember, kind: str, line: Line) -> None:
        match kind:
            case "boot":
                self._boot(member, line)
            case "write":
                self._write(member, line)
            case "durable":
                for batch in member.became_durable(line["batch"]):
                    self._hard_state(member, batch)
            case "group":
                member.log.configure(tuple(line["voters"]))
            case "role":
                self._role(member, line)
            case "commit":
                self._commit(member, line)
            case "lease":
                self._lease(member, line)

    def _boot(self, member: TracedMember, line: Line) -> None:
        """What was durable is there; what was on its way may be (S2, I7)."""
        found = TracedLog(self._chains)
        found.boot(line)
        while (member.durable.last_index, member.durable.last) != (found.last_index, found.last) and member.pending:
            for batch in member.became_durable(member.pending[0]["batch"]):
                self._hard_state(member, batch)
        if member.booted:
            same = (member.durable.last_index, member.durable.last) == (found.last_index, found.last)
            self._must(
                same, "S2", f"had {member.durable.last_index} durable, has {found.last_index} after a start", line
            )
        self._hard_state(member, line)
        member.log, member.durable, member.pending = found, found.copy(), []
        member.role, member.term, member.commit, member.booted = "follower", line["term"], line["applied"], True

    def _write(self, member: TracedMember, line: Line) -> None:
        if "term" in line:
            self._must(line["term"] >= member.term, "I16", f"term {line['term']} after {member.term}", line)
            member.term = line["term"]
        if "truncate" in line:
            led = self._leaders.get(member.term) == member.member_id and member.role == "leader"
            self._must(not led, "I2", f"the leader of {member.term} truncates from {line['truncate']}", line)
            below = line["truncate"] <= member.commit
            self._must(not below, "I16", f"truncates from {line['truncate']}, committed {member.commit}", line)
        if "install" in line:
            member.commit = max(member.commit, line["install"][0])
        self._configured(member, line)
        member.log.write(line)
        member.pending.append(line)

    def _configured(self, member: TracedMember, line: Line) -> None:
        """At most one configuration is not committed, and neighbours differ by one voter (I11)."""
        known = {index: voters for index, _, voters in member.log.configurations}
        newest = member.log.configurations[-1][0] if known else 0
        if "truncate" in line:
            newest = max((index for index in known if index < line["truncate"]), default=0)
        for index, previous, voters, _ in line.get("configurations", ()):
            self.report.counts["configurations"] += 1
            if member.role == "leader":
                self._must(newest <= member.commit, "I11", f"{index} while {newest} is not committed", line)
            before = known.get(previous) or known.get(0)
            if before:
                self._must(len(set(before) ^ set(voters)) <= 1, "I11", f"{list(before)} became {voters}", line)
            known[index], newest = tuple(voters), index

    def _hard_state(self, member: TracedMember, line: Line) -> None:
        if "term" not in line:
            return
        fell = line["term"] < member.durable_term or line["promise_ns"] < member.durable_promise_ns
        self._must(not fell, "I7", f"durable term or promise fell to {line['term']}", line)
        member.durable_term, member.durable_promise_ns = line["term"], line["promise_ns"]
        if line["vote"]:
            earlier = self._votes.setdefault((member.member_id, line["term"]), line["vote"])
            self._must(earlier == line["vote"], "I7", f"voted for {earlier} and {line['vote']} in {line['term']}", line)

    def _role(self, member: TracedMember, line: Line) -> None:
        self._must(line["term"] >= member.term, "I16", f"term {line['term']} after {member.term}", line)
        new = line["role"] == "leader" and (member.role, member.term) != ("leader", line["term"])
        member.role, member.term = line["role"], line["term"]
        if line["role"] == "leader":
            earlier = self._leaders.setdefault(line["term"], member.member_id)
            self._must(earlier == member.member_id, "I1", f"{earlier} leads term {line['term']} as well", line)
        if new:
            self._elected.append((line["term"], member.member_id, member.log.copy()))

    def _commit(self, member: TracedMember, line: Line) -> None:
        first, last = line["first"], line["last"]
        self._must(first == member.commit + 1, "I16", f"commits {first} after {member.commit}", line)
        member.commit = last
        for index in range(first, last + 1):
            held = member.log.at(index)
            if held is None:
                self._must(False, "I5", f"commits {index}, which it does not have", line)
                return
            known = self._committed.get(index)
            self._must(known is None or known.held == held, "I5", f"commits another entry at {index}", line)
            if known is None or line["term"] < known.term:
                self._committed[index] = _Committed(held, line["term"])
            if known is None and index == last and member.role == "leader":
                self._replicated(member, index, held, line)

    def _replicated(self, leader: TracedMember, index: int, held: Held, line: Line) -> None:
        """A majority has what its leader commits, on disk (I6)."""
        voters = leader.log.voters
        having = [voter for voter in voters if self._has_durable(voter, index, held)]
        self._must(2 * len(having) > len(voters), "I6", f"{index} is durable on {having} of {list(voters)}", line)

    def _has_durable(self, member_id: int, index: int, held: Held) -> bool:
        durable = self._member(member_id).durable
        return index <= durable.mark[0] or durable.at(index) == held

    def _complete(self, term: int, member_id: int, log: TracedLog) -> None:
        """A leader began with everything that was committed in earlier terms (I4); by I3 the last tells of all."""
        last = max((index for index, each in self._committed.items() if each.term < term), default=0)
        if last > log.mark[0] and log.at(last) != self._committed[last].held:
            self.report.violations.append(f"I4: leader {member_id} of term {term} lacks committed entry {last}")

    def _lease(self, member: TracedMember, line: Line) -> None:
        """Leases of two members never overlap, those of killed processes included (I8)."""
        at, until = line["at"], line["until"]
        if until > at:
            self._must(member.role == "leader", "I8", "a lease without leading", line)
            for other in self._members.values():
                overlap = other is not member and other.lease_until > at
                self._must(not overlap, "I8", f"{other.member_id} has one for {other.lease_until - at} ns more", line)
            self._lease_until = max(self._lease_until, until)
        member.lease_until = max(until, at)

    def _grant(self, line: Line) -> None:
        self._must(line["token"] > self._newest_grant, "I9", f"token after {self._newest_grant}", line)
        self._newest_grant = max(self._newest_grant, line["token"])

    def _statement(self, line: Line) -> None:
        newest = self._newest_statement.get(line["instance"], 0)
        self._must(line["token"] >= newest, "I9", f"statement after one of {newest}", line)
        self._newest_statement[line["instance"]] = max(newest, line["token"])
        self._must(line["at"] < self._lease_until, "I10", "statement after the end of every lease", line)

    def _must(self, holds: bool, rule: str, facts: str, line: Line) -> None:
        if not holds:
            where = {key: line[key] for key in ("member", "at", "kind", "term", "token", "batch") if key in line}
            self.report.violations.append(f"{rule}: {facts}: {where}")

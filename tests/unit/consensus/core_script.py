"""Scripts for the Raft core: a group of cores on values, commanded line by line, with the output that must follow.

A script is blocks of commands, `----`, and the expected output; a blank line ends a block, `#` begins a comment. The
clock is one for all members and moves only by `wait`, `idle` and `campaign`. Disks finish at once unless held.

    group N [batch=]            N blank members; H 60 ms, E 300 ms, max 600 ms; batch = entries in an Append
    boot ID [term= vote= promise= applied= mark=I@T log=1,1,2]    start a member from a store; `log` is the terms
                                behind the mark by index; applied: at least the mark
    campaign ID / tick ID / wait MS / idle MS    idle: all tick every 10 ms and all is delivered
    inject A->B prevote|vote TERM INDEX@TERM [TRANSFER_TERM]    put a question on the wire that A did not ask
    deliver [A->B ...]          deliver what is under way, on some links once, on all until nothing is left
    break A->B ...              lose what is under way, and tell A that the connection broke
    drop [A->B ...] / duplicate A->B / reverse A->B / rotate A->B / cut ID|A->B / heal
    delay A->B ... / arrive     set what is under way aside; put it back behind everything else
    forget ID INDEX             restart it without the entries from there on, which it had acknowledged
    flood ID N                  N proposals in one output, silently; count A->B: how many messages are under way
    propose ID TEXT / read ID / health ID full / disk ID hold|release|one
    crash ID [keep=N] / restart ID    N = how many batches reach the disk yet
    compact ID INDEX / snapshot A->B / sent A->B delivered|failed    snapshot: what A has applied arrives at B whole
    status [ID ...] / pending / lease ID / peers ID

    join ID                     start a blank member that nobody told who is in the group
    add|promote|remove ID MEMBER [force] / prefer ID MEMBER PREFERENCE     ask ID for a change of the group
    transfer ID [to=] [drain=MS] [force] [hold=MS] / drained ID
    ready ID yes|no / digest ID INDEX TEXT / quarantine ID [WHY] / timing ID H E MAX    durations in ms
    timeoutnow A->B TERM / removed A->B TERM INDEX      put a leader's word on the wire that A did not give
    group_of [ID ...]           which configuration members go by

Show expected output anew with `python -m tests.unit.consensus.core_script FILE ...`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from services.consensus.raft.configuration import NO_MEMBERS, Configuration, GroupMember
from services.consensus.raft.core import RaftCore
from services.consensus.raft.events import (
    AddLearner,
    Applied,
    Compacted,
    Drained,
    Event,
    LocalReadiness,
    MemberChange,
    MemberChangeRequested,
    PeerUnreachable,
    Persisted,
    PromoteMember,
    Proposed,
    QuarantineChanged,
    ReadRequested,
    Received,
    RemoveMember,
    SnapshotReceived,
    SnapshotSent,
    StateDigest,
    StoreHealthChanged,
    Tick,
    TimingChanged,
    TransferRequested,
    UpdateMember,
)
from services.consensus.raft.messages import (
    AppendAck,
    AppendReject,
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    Removed,
    TimeoutNow,
    VoteRefusal,
    VoteRequest,
    VoteResponse,
)
from services.consensus.raft.model import (
    MILLISECOND,
    START,
    BootState,
    CoreSettings,
    Entry,
    EntryKind,
    HardState,
    InvariantViolated,
    LogMark,
    StoreHealth,
)
from services.consensus.raft.outputs import Outgoing, Output, PersistBatch, ReadOutcome
from tests.support.raft import group_of

NewCore = Callable[[CoreSettings, BootState, int, int], RaftCore]


@dataclass(slots=True)
class Seat:
    """A member of the scripted group: its core, its disk, what waits for the disk."""

    core: RaftCore
    hard_state: HardState = field(default_factory=HardState)
    entries: list[Entry] = field(default_factory=list)
    mark: LogMark = START
    waiting: list[PersistBatch] = field(default_factory=list)
    held: list[Outgoing] = field(default_factory=list)
    durable_number: int = 0
    disk_held: bool = False
    up: bool = True
    configuration: Configuration = NO_MEMBERS
    quarantine: str = ""
    removed: bool = False


class Script:
    """Runs the commands of one script."""

    def __init__(
        self, new_core: NewCore = RaftCore, honour_barriers: Callable[[Message], bool] = lambda _: True
    ) -> None:
        """Make cores with `new_core`; messages for which `honour_barriers` is false do not wait for the disk."""
        self._new_core = new_core
        self._honour_barriers = honour_barriers
        self._now = 1000 * MILLISECOND
        self._seats: dict[int, Seat] = {}
        self._wire: list[tuple[int, int, Message]] = []
        self._delayed: list[tuple[int, int, Message]] = []
        self._cut: set[tuple[int, int]] = set()
        self._snapshots: dict[str, LogMark] = {}
        self._waiter = 0
        self._lines: list[str] = []

    def run(self, command: str) -> list[str]:
        """Run one command and return what it printed."""
        self._lines = []
        name, *arguments = command.split()
        getattr(self, f"_do_{name}")(*arguments)
        return self._lines

    def seat(self, member_id: int) -> Seat:
        """Return a member, for looking at it."""
        return self._seats[member_id]

    # Commands.

    def _do_group(self, count: str, batch: str = "batch=1024") -> None:
        self._bootstrap = group_of(*range(1, int(count) + 1))
        self._max_batch = int(batch.removeprefix("batch="))
        for member_id in self._bootstrap.voters:
            self._start(member_id, HardState(), [], 0, configuration=self._bootstrap)

    def _do_join(self, member: str) -> None:
        self._start(int(member), HardState(), [], 0, configuration=NO_MEMBERS)

    def _do_boot(self, member: str, *options: str) -> None:
        values = dict(option.split("=") for option in options)
        terms = [int(term) for term in values.get("log", "").split(",") if term]
        mark = LogMark(*(int(number) for number in values.get("mark", "0@0").split("@")))
        entries = [
            Entry(i, term, EntryKind.COMMAND, 0, f"{i}@{term}".encode()) for i, term in enumerate(terms, mark.index + 1)
        ]
        promise = int(values.get("promise", 0)) * MILLISECOND
        hard = HardState(int(values.get("term", 0)), int(values.get("vote", 0)), promise)
        applied = int(values.get("applied", mark.index))
        self._start(int(member), hard, entries, applied, mark, configuration=self._bootstrap)

    def _do_campaign(self, member: str) -> None:
        status = self._seats[int(member)].core.status()
        self._now = max(self._now, status.promise_until) + 900 * MILLISECOND  # Beyond any deadline drawn.
        self._step(int(member), Tick())

    def _do_tick(self, *members: str) -> None:
        for member in members:
            self._step(int(member), Tick())

    def _do_idle(self, milliseconds: str) -> None:
        for _ in range(int(milliseconds) // 10):
            self._now += 10 * MILLISECOND
            self._do_tick(*(str(member_id) for member_id in self._seats))
            self._do_deliver()

    def _do_inject(self, link: str, what: str, term: str, last: str, forced: str = "0") -> None:
        sender, to = (int(member) for member in link.split("->"))
        last_index, last_term = (int(number) for number in last.split("@"))
        if what == "prevote":
            self._wire.append((sender, to, PreVoteRequest(sender, int(term), last_index, last_term)))
        else:
            self._wire.append((sender, to, VoteRequest(sender, int(term), last_index, last_term, int(forced))))

    def _do_timeoutnow(self, link: str, term: str) -> None:
        sender, to = (int(member) for member in link.split("->"))
        self._wire.append((sender, to, TimeoutNow(sender, int(term))))

    def _do_removed(self, link: str, term: str, index: str) -> None:
        sender, to = (int(member) for member in link.split("->"))
        self._wire.append((sender, to, Removed(sender, int(term), int(index))))

    def _do_add(self, member: str, other: str) -> None:
        self._change(member, AddLearner(GroupMember(int(other))))

    def _do_promote(self, member: str, other: str, force: str = "") -> None:
        self._change(member, PromoteMember(int(other)), force)

    def _do_remove(self, member: str, other: str, force: str = "") -> None:
        self._change(member, RemoveMember(int(other)), force)

    def _do_prefer(self, member: str, other: str, preference: str) -> None:
        self._change(member, UpdateMember(GroupMember(int(other), preference=int(preference))))

    def _do_transfer(self, member: str, *options: str) -> None:
        values = dict(option.split("=") for option in options if "=" in option)
        self._waiter += 1
        request = TransferRequested(
            int(values.get("to", 0)),
            int(values.get("drain", 5000)) * MILLISECOND,
            self._waiter,
            "force" in options,
            int(values.get("hold", 0)) * MILLISECOND,
        )
        self._step(int(member), request)

    def _do_drained(self, member: str) -> None:
        self._step(int(member), Drained())

    def _do_ready(self, member: str, ready: str) -> None:
        self._step(int(member), LocalReadiness(ready == "yes"))

    def _do_digest(self, member: str, index: str, text: str) -> None:
        self._step(int(member), StateDigest(int(index), text.encode()))

    def _do_quarantine(self, member: str, *why: str) -> None:
        self._step(int(member), QuarantineChanged(" ".join(why)))

    def _do_timing(self, member: str, heartbeat: str, election_min: str, election_max: str) -> None:
        beat, least, longest = (int(text) * MILLISECOND for text in (heartbeat, election_min, election_max))
        self._step(int(member), TimingChanged(beat, least, longest, 10_000))

    def _do_group_of(self, *members: str) -> None:
        for member_id in [int(member) for member in members] or self._seats:
            status = self._seats[member_id].core.status()
            names = [
                f"{member.member_id}{'' if member.votes else ' (learner)'}" for member in status.configuration.members
            ]
            self._print(f"{member_id} goes by {', '.join(names) or 'nobody'} of {status.configuration_index}")

    def _change(self, member: str, change: MemberChange, force: str = "") -> None:
        self._waiter += 1
        self._step(int(member), MemberChangeRequested(change, 0, self._waiter, force == "force"))

    def _do_wait(self, milliseconds: str) -> None:
        self._now += int(milliseconds) * MILLISECOND

    def _do_deliver(self, *links: str) -> None:
        if links:
            self._deliver(self._take_wire(*links))
            return
        while self._wire:
            self._deliver(self._take_wire())

    def _do_drop(self, *links: str) -> None:
        self._take_wire(*links)

    def _do_duplicate(self, *links: str) -> None:
        taken = self._take_wire(*links)
        self._wire.extend(taken + taken)

    def _do_reverse(self, *links: str) -> None:
        taken = self._take_wire(*links)
        self._wire.extend(reversed(taken))

    def _do_rotate(self, *links: str) -> None:
        first, *rest = self._take_wire(*links)
        self._wire.extend([*rest, first])

    def _do_delay(self, *links: str) -> None:
        self._delayed += self._take_wire(*links)

    def _do_arrive(self) -> None:
        self._wire += self._delayed
        self._delayed.clear()

    def _do_cut(self, what: str) -> None:
        members = [int(member) for member in what.split("->")]
        others = [other for other in self._seats if other != members[0]]
        if len(members) == 1:
            self._cut |= {link for other in others for link in ((members[0], other), (other, members[0]))}
        else:
            self._cut.add((members[0], members[1]))

    def _do_heal(self) -> None:
        self._cut.clear()

    def _do_propose(self, member: str, text: str) -> None:
        self._waiter += 1
        self._step(int(member), Proposed((text.encode(),), 0, self._waiter))

    def _do_flood(self, member: str, count: str) -> None:
        for number in range(int(count)):
            self._waiter += 1
            core = self._seats[int(member)].core
            core.step(Proposed((f"{number}".encode(),), 0, self._waiter), self._now)
        printed, self._lines = self._lines, []
        self._carry_out(int(member), core.take_output())
        self._lines = printed

    def _do_count(self, link: str) -> None:
        under_way = [item for item in self._wire if f"{item[0]}->{item[1]}" == link]
        self._print(f"{len(under_way)} on {link}")

    def _do_forget(self, member: str, index: str) -> None:
        seat = self._seats[int(member)]
        seat.entries = [entry for entry in seat.entries if entry.index < int(index)]
        self._do_restart(member)

    def _do_read(self, member: str) -> None:
        self._waiter += 1
        self._step(int(member), ReadRequested(self._waiter))

    def _do_health(self, member: str, health: str) -> None:
        self._step(int(member), StoreHealthChanged(StoreHealth(health)))

    def _do_disk(self, member: str, what: str) -> None:
        seat = self._seats[int(member)]
        seat.disk_held = what != "release"
        if what == "one":
            self._persist(int(member), 1)
        elif what == "release":
            self._persist(int(member), len(seat.waiting))

    def _do_crash(self, member: str, keep: str = "keep=0") -> None:
        seat = self._seats[int(member)]
        self._write(seat, int(keep.removeprefix("keep=")))
        seat.up = False
        seat.waiting.clear()
        seat.held.clear()

    def _do_restart(self, member: str) -> None:
        seat = self._seats[int(member)]
        configuration = seat.configuration
        self._start(int(member), seat.hard_state, seat.entries, seat.mark.index, seat.mark, configuration=configuration)

    def _do_break(self, *links: str) -> None:
        self._take_wire(*links)
        for link in links:
            sender, to = (int(member) for member in link.split("->"))
            self._step(sender, PeerUnreachable(to))

    def _do_compact(self, member: str, index: str) -> None:
        self._step(int(member), Compacted(int(index)))

    def _do_snapshot(self, link: str) -> None:
        sender, to = (int(member) for member in link.split("->"))
        self._snapshots[link] = mark = self._applied(sender)
        configuration = self._seats[sender].core.status().configuration
        self._step(to, SnapshotReceived(sender, mark, configuration, 0))

    def _do_sent(self, link: str, outcome: str) -> None:
        sender, to = (int(member) for member in link.split("->"))
        mark = self._snapshots.get(link) or self._applied(sender)
        self._step(sender, SnapshotSent(to, mark, outcome == "delivered"))

    def _do_peers(self, member: str) -> None:
        for peer in self._seats[int(member)].core.status().peers:
            self._print(f"{peer.member_id} {peer.state.value} match={peer.match_index} next={peer.next_index}")

    def _do_status(self, *members: str) -> None:
        for member_id in [int(member) for member in members] or self._seats:
            seat = self._seats[member_id]
            status = seat.core.status()
            leader = status.leader or "-"
            vote = status.voted_for or "-"
            terms = ",".join(str(entry.term) for entry in seat.core.entries())
            if status.mark != START:
                terms = f"({_place(status.mark)}){terms}"
            self._print(
                f"{member_id} {status.role.value} term={status.term} vote={vote} leader={leader} log={terms or '-'} "
                f"commit={status.commit_index}{'' if seat.up else ' DOWN'}"
            )

    def _do_pending(self) -> None:
        for sender, to, message in self._wire:
            self._print(f"{sender}->{to} {describe(message)}")
        for member_id, seat in self._seats.items():
            for outgoing in seat.held:
                self._print(f"{member_id}->{outgoing.to} {describe(outgoing.message)} waits for the disk")

    def _do_lease(self, member: str) -> None:
        lease = self._seats[int(member)].core.status().lease
        left = (lease.valid_until - self._now) // MILLISECOND
        text = f"valid for {left} ms, seq {lease.seq >> 32}.{lease.seq % 2**32}" if left > 0 else "none"
        self._print(f"{member} lease {text}")

    # Workings.

    def _applied(self, member_id: int) -> LogMark:
        core = self._seats[member_id].core
        status = core.status()
        terms = {entry.index: entry.term for entry in core.entries()}
        return LogMark(status.applied_index, terms.get(status.applied_index, status.mark.term))

    def _start(
        self,
        member_id: int,
        hard_state: HardState,
        entries: list[Entry],
        applied: int,
        mark: LogMark = START,
        *,
        configuration: Configuration,
    ) -> None:
        settings = CoreSettings(member_id, max_batch=self._max_batch)
        boot = BootState(hard_state, tuple(entries), applied, mark, configuration)
        core = self._new_core(settings, boot, member_id, self._now)
        self._seats[member_id] = Seat(core, hard_state, list(entries), mark, configuration=configuration)

    def _step(self, member_id: int, event: Event) -> None:
        seat = self._seats[member_id]
        if not seat.up:
            return
        try:
            seat.core.step(event, self._now)
            self._carry_out(member_id, seat.core.take_output())
        except InvariantViolated as violation:
            seat.up = False
            self._print(f"{member_id} halted by {violation.rule}")

    def _carry_out(self, member_id: int, output: Output) -> None:
        seat = self._seats[member_id]
        for result in output.proposal_results:
            blocker = f": {result.blocker.value}" if result.blocker is not None else ""
            self._print(f"proposal {result.waiter} {result.outcome.value}{blocker}")
        for read in output.read_results:
            ready = read.outcome is ReadOutcome.READY
            self._print(f"read {read.waiter} {read.outcome.value}{f' at {read.index}' if ready else ''}")
        self._tell_group(member_id, output)
        for peer in output.snapshot_wanted:
            self._print(f"{member_id} wants to send a snapshot to {peer}")
        for batch in output.persist:
            if batch.install is not None:
                self._print(f"{member_id} installs {_place(batch.install)}")
        seat.waiting += output.persist
        for outgoing in output.messages:
            waits = outgoing.after_batch > seat.durable_number and self._honour_barriers(outgoing.message)
            if waits:
                seat.held.append(outgoing)
            else:
                self._send(member_id, outgoing)
        if output.committed:
            self._step(member_id, Applied(output.committed[-1].index))
        if not seat.disk_held and seat.waiting:
            self._persist(member_id, len(seat.waiting))

    def _tell_group(self, member_id: int, output: Output) -> None:
        seat = self._seats[member_id]
        for result in output.transfer_results:
            self._print(
                f"transfer {result.waiter} {result.outcome.value}{f' {result.leader}' if result.leader else ''}"
            )
        if output.draining is not None:
            self._print(f"{member_id} {'drains' if output.draining else 'drains no more'}")
        if output.quarantine is not None:
            self._print(f"{member_id} quarantine: {output.quarantine or 'over'}")
        if output.removed is not seat.removed:
            seat.removed = output.removed
            self._print(f"{member_id} {'knows that it is removed' if output.removed else 'is a member again'}")

    def _persist(self, member_id: int, count: int) -> None:
        seat = self._seats[member_id]
        installed = next((batch.install for batch in seat.waiting[:count] if batch.install is not None), None)
        last = self._write(seat, count)
        if last is None:
            return
        if installed is not None:
            self._step(member_id, Applied(installed.index))
        seat.durable_number = last.number
        held, seat.held = seat.held, []
        for outgoing in held:
            if outgoing.after_batch <= seat.durable_number:
                self._send(member_id, outgoing)
            else:
                seat.held.append(outgoing)
        self._step(member_id, Persisted(last.number, last.last_index, last.last_term))

    def _write(self, seat: Seat, count: int) -> PersistBatch | None:
        batches, seat.waiting = seat.waiting[:count], seat.waiting[count:]
        for batch in batches:
            seat.hard_state = batch.hard_state or seat.hard_state
            if batch.install is not None:
                seat.entries, seat.mark = [], batch.install
            if batch.truncate_from is not None:
                del seat.entries[batch.truncate_from - 1 - seat.mark.index :]
            seat.entries += batch.entries
            if batch.compact_to is not None:
                del seat.entries[: batch.compact_to.index - seat.mark.index]
                seat.mark = batch.compact_to
        return batches[-1] if batches else None

    def _send(self, member_id: int, outgoing: Outgoing) -> None:
        if (member_id, outgoing.to) not in self._cut:
            self._wire.append((member_id, outgoing.to, outgoing.message))

    def _take_wire(self, *links: str) -> list[tuple[int, int, Message]]:
        chosen = [item for item in self._wire if not links or f"{item[0]}->{item[1]}" in links]
        self._wire = [item for item in self._wire if links and f"{item[0]}->{item[1]}" not in links]
        return chosen

    def _deliver(self, items: list[tuple[int, int, Message]]) -> None:
        for sender, to, message in items:
            if (sender, to) not in self._cut:
                self._step(to, Received(message))

    def _print(self, line: str) -> None:
        self._lines.append(line)


def _place(mark: LogMark) -> str:
    return f"{mark.index}@{mark.term}"


def describe(message: Message) -> str:
    """Return a message in a line."""
    match message:
        case PreVoteRequest() | VoteRequest():
            name = "PreVote" if isinstance(message, PreVoteRequest) else "Vote"
            forced = " forced" if isinstance(message, VoteRequest) and message.transfer_term else ""
            return f"{name} term={message.term} last={message.last_index}@{message.last_term}{forced}"
        case PreVoteResponse() | VoteResponse():
            name = "PreVoteAnswer" if isinstance(message, PreVoteResponse) else "VoteAnswer"
            refusal = message.refusal
            return f"{name} term={message.term} {'granted' if refusal is VoteRefusal.NONE else refusal.value}"
        case AppendRequest():
            terms = ",".join(str(entry.term) for entry in message.entries) or "-"
            prev = f"{message.prev_index}@{message.prev_term}"
            return f"Append term={message.term} prev={prev} entries={terms} commit={message.commit}"
        case AppendAck():
            return f"AppendAck term={message.term} match={message.match_index}"
        case AppendReject():
            hint = f"{message.hint_index}@{message.hint_term}"
            installing = " installing" if message.installing else ""
            return f"AppendReject term={message.term} prev={message.prev_index} hint={hint}{installing}"
        case Heartbeat():
            return f"Heartbeat term={message.term} commit={message.commit}"
        case HeartbeatAck():
            distrust = " quarantined" if message.quarantined else ""
            return f"HeartbeatAck term={message.term} health={message.store_health.value}{distrust}"
        case TimeoutNow():
            return f"TimeoutNow term={message.term}"
        case Removed():
            return f"Removed term={message.term} configuration={message.configuration_index}"


@dataclass(frozen=True, slots=True)
class Block:
    """Commands and what they must print."""

    commands: tuple[str, ...]
    expected: tuple[str, ...]


def parse(text: str) -> Iterator[Block]:
    """Return the blocks of a script."""
    for chunk in text.strip().split("\n\n"):
        lines = [line.strip() for line in chunk.splitlines() if not line.startswith("#")]
        if "----" in lines:
            middle = lines.index("----")
            yield Block(tuple(lines[:middle]), tuple(lines[middle + 1 :]))
        elif lines:
            yield Block(tuple(lines), ())


def run_block(script: Script, block: Block) -> tuple[str, ...]:
    """Run a block's commands and return everything they printed."""
    return tuple(line for command in block.commands for line in script.run(command))


def show(path: Path) -> str:
    """Return a script with the output it has now."""
    script, chunks = Script(), []
    for chunk in path.read_text().strip().split("\n\n"):
        source = chunk.split("\n----")[0]
        printed = [line for block in parse(source) for line in run_block(script, block)]
        chunks.append("\n".join([source, "----", *printed]) if printed else source)
    return "\n\n".join(chunks) + "\n"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(show(Path(name)))

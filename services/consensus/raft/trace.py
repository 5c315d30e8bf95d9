"""What one member's core did, a JSON object a line, for the offline check of the invariants of several members (21.8).

A line is written before what it tells of leaves the member, so that a killed process has told everything it let others
see. The kinds of lines, with `at` (nanoseconds of T1) and `member` in each:

    boot     term, vote, promise_ns, mark, applied, entries, configurations: what the store gave back
    write    batch, and what of it there is: term, vote, promise_ns, truncate, install, compact, entries, configurations
    durable  batch: this one and all before it are
    role     role, term, leader
    group    voters, learners: the newest configuration in the log, when it changed
    commit   term, first, last: given out to be applied
    lease    term, seq, until: the leader lease as it may be used from now on; until 0 = not held

An entry is [index, term, hash of kind and data]; a configuration [index, previous index, voters, learners], index 0
being the one at or before the mark; a mark [index, term].
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

from services.consensus.raft.configuration import Configuration, MemberKind, decode_configuration
from services.consensus.raft.model import BootState, Entry, EntryKind, HardState, LogMark
from services.consensus.raft.outputs import Output, PersistBatch


class Trace:
    """The trace of one member. Nothing in the core knows of it."""

    def __init__(self, member_id: int, write: Callable[[bytes], object]) -> None:
        """Begin a trace.

        Args:
            member_id: Whose it is.
            write: Appends a line where it survives the process.
        """
        self._member_id = member_id
        self._write = write
        self._term = 0

    def booted(self, now: int, boot: BootState) -> None:
        """Tell what the store gave back; an empty line goes ahead, for a killed process may leave half a line."""
        self._term = boot.hard_state.current_term
        self._write(b"\n")
        self._line(
            now,
            "boot",
            **_hard_state(boot.hard_state),
            mark=_mark(boot.mark),
            applied=boot.applied_index,
            entries=_entries(boot.entries),
            configurations=[_configuration(0, boot.configuration), *_configurations(boot.entries)],
        )

    def output(self, now: int, output: Output) -> None:
        """Tell what the core gave out, before it is carried out."""
        for batch in output.persist:
            self._batch(now, batch)
        if output.leadership is not None:
            self._term = output.leadership.term
            self._line(now, "role", role=output.leadership.role.value, term=self._term, leader=output.leadership.leader)
        if output.configuration is not None:
            _, _, voters, learners = _configuration(0, output.configuration)
            self._line(now, "group", voters=voters, learners=learners)
        if output.committed:
            first, last = output.committed[0].index, output.committed[-1].index
            self._line(now, "commit", term=self._term, first=first, last=last)
        if output.lease is not None:
            lease = output.lease
            self._line(now, "lease", term=lease.term, seq=lease.seq, until=lease.valid_until)

    def durable(self, now: int, batch: int) -> None:
        """Tell that a batch and all before it are durable, before anything leaves that waited for them (C1)."""
        self._line(now, "durable", batch=batch)

    def _batch(self, now: int, batch: PersistBatch) -> None:
        facts: dict[str, Any] = {"batch": batch.number}
        if batch.hard_state is not None:
            facts |= _hard_state(batch.hard_state)
        if batch.truncate_from is not None:
            facts["truncate"] = batch.truncate_from
        if batch.install is not None:
            facts["install"] = _mark(batch.install)
        if batch.compact_to is not None:
            facts["compact"] = _mark(batch.compact_to)
        if batch.entries:
            facts["entries"] = _entries(batch.entries)
            facts["configurations"] = _configurations(batch.entries)
        self._line(now, "write", **facts)

    def _line(self, now: int, kind: str, **facts: object) -> None:
        line = {"at": now, "member": self._member_id, "kind": kind, **facts}
        self._write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def _hard_state(hard_state: HardState) -> dict[str, int]:
    return {
        "term": hard_state.current_term,
        "vote": hard_state.voted_for,
        "promise_ns": hard_state.promise_max_ns,
    }


def _mark(mark: LogMark) -> list[int]:
    return [mark.index, mark.term]


def _entries(entries: Iterable[Entry]) -> list[list[object]]:
    return [
        [entry.index, entry.term, blake2b(entry.kind.value.encode() + entry.data, digest_size=8).hexdigest()]
        for entry in entries
    ]


def _configurations(entries: Iterable[Entry]) -> list[list[object]]:
    return [
        _configuration(entry.index, decode_configuration(entry.data))
        for entry in entries
        if entry.kind is EntryKind.CONFIG
    ]


def _configuration(index: int, configuration: Configuration) -> list[object]:
    learners = [member.member_id for member in configuration.members if member.kind is MemberKind.LEARNER]
    return [index, configuration.previous_index, list(configuration.voters), learners]

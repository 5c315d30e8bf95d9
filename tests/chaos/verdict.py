"""What is checked when a campaign is over and the group is whole again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from primacy.consensus.v1 import consensus_pb2 as pb

from tests.chaos.holders import LEASE_KEY
from tests.chaos.load import KEYS, Told
from tests.chaos.observer import Sighting, overlaps
from tests.proof.history import Operation
from tests.proof.linearizability import SearchTooLarge, check
from tests.proof.member_trace import Line
from tests.proof.models import EpochRegister, LeaseModel, Model, Read, Write
from tests.proof.trace_check import check_traces, read_trace
from tests.support.consensus_group import MemberProcess

_PAGE: Final = 500
_READ_S: Final = 30.0
"""Longest wait for a page; nothing else is asked by then."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Acknowledged writes that are not there, and writes that happened more than once."""

    lost: int
    doubled: int
    violations: tuple[str, ...]


async def count_writes(member: MemberProcess, told: Told, operations: Iterable[Operation]) -> Counted:
    """Compare what one member holds with what clients were told.

    Args:
        member: Has applied everything.
        told: What was acknowledged.
        operations: The history; writes of unknown outcome may have happened, each once.
    """
    unknown = Counter(each.key for each in operations if isinstance(each.call, Write) and not each.known)
    lost, doubled = 0, 0
    violations = []
    epochs = {primary.cluster_id: primary.epoch for primary in await _primaries(member)}
    for key in KEYS:
        acknowledged, newest = told.epochs[key], epochs.get(key, 0)
        gone = sum(epoch > newest for epoch in acknowledged)
        extra = max(0, newest - len(acknowledged) - unknown[key])
        lost, doubled = lost + gone, doubled + extra
        if gone or extra:
            violations.append(f"{member.name}: {key} is at epoch {newest}: {gone} writes are lost, {extra} doubled")
    records = {record.recovery_id: record for record in await _records(member)}
    steps = {(record_id, step.number): step for record_id, record in records.items() for step in record.steps}
    for (recovery_id, number), data in told.steps.items():
        step = steps.get((recovery_id, number))
        if step is None or step.data != data or step.phase != pb.StepRecord.PHASE_DONE:
            lost += 1
            violations.append(f"{member.name}: step {number} of {recovery_id} was acknowledged and is not there")
    for recovery_id in told.closed:
        if recovery_id not in records or records[recovery_id].open:
            lost += 1
            violations.append(f"{member.name}: the end of {recovery_id} was acknowledged and is not there")
    return Counted(lost, doubled, tuple(violations))


def unexpected_refusals(told: Told) -> list[str]:
    """Return the refusals that should not happen."""
    return [f"unexpected refusal {reason}, {count} times" for reason, count in told.unexpected.items()]


async def _primaries(member: MemberProcess) -> list[pb.Primary]:
    request = pb.ListPrimariesRequest(page_size=_PAGE)
    return list((await member.registry.ListPrimaries(request, timeout=_READ_S)).primaries)


async def _records(member: MemberProcess) -> list[pb.RecoveryRecord]:
    records: list[pb.RecoveryRecord] = []
    token = ""
    while True:
        page = await member.journal.ListRecords(
            pb.ListRecordsRequest(page_size=_PAGE, page_token=token), timeout=_READ_S
        )
        records += page.records
        token = page.next_page_token
        if not token:
            return records


def check_history(operations: Sequence[Operation]) -> list[str]:
    """Return what is not linearizable, or could not be decided."""
    leases = [operation for operation in operations if operation.key == LEASE_KEY]
    registers = [operation for operation in operations if operation.key != LEASE_KEY]
    return [*_check(leases, LeaseModel()), *_check(tuple(told_by_reads(registers)), EpochRegister())]


def told_by_reads(operations: Sequence[Operation]) -> Iterator[Operation]:
    """Yield operations with the outcome of writes whose caller got no answer, but whose value somebody read.

    Such a write took effect before the first read that shows it was answered, with the epoch that the read shows. This
    says nothing that the history does not, and spares the search to try each open write wherever an epoch is missing.
    """
    shown: dict[tuple[str, Hashable], Operation] = {}
    for read in sorted((each for each in operations if each.known), key=lambda each: each.returned):
        if isinstance(read.call, Read):
            shown.setdefault((read.key, read.answer.value), read)
    for operation in operations:
        first = shown.get((operation.key, operation.call.value)) if isinstance(operation.call, Write) else None
        if first is not None and not operation.known and first.returned >= operation.invoked:
            yield replace(operation, answer=first.answer, returned=first.returned)
        else:
            yield operation


def _check(operations: Sequence[Operation], model: Model) -> Iterable[str]:
    try:
        violation = check(operations, model)
    except SearchTooLarge as too_large:
        return [f"linearizability was not decided: {too_large}"]
    return [] if violation is None else [f"not linearizable: {violation}"]


def check_overlaps(sightings: Iterable[Sighting], *, surrendered: bool) -> list[str]:
    """Return the leases of two members that were seen valid at the same time."""
    return [f"two leases at a time: {overlap}" for overlap in overlaps(sightings, surrendered=surrendered)]


def read_traces(files: Iterable[Path]) -> list[list[Line]]:
    """Return the traces of members and executors; one that never came so far has none."""
    return [list(read_trace(file)) if file.exists() else [] for file in files]


def check_members(traces: Sequence[Sequence[Line]]) -> tuple[list[str], str]:
    """Replay I1-I11; return what is wrong, and how much was checked."""
    report = check_traces(traces)
    return [f"trace: {violation}" for violation in report.violations], str(report)


def count_installed(traces: Iterable[Iterable[Line]]) -> int:
    """Return how many snapshots members took in place of entries."""
    return sum("install" in line for trace in traces for line in trace)


def election_times_ns(traces: Sequence[Sequence[Line]], leader_kills: Iterable[tuple[int, int]]) -> list[int]:
    """Return, for each leader that was killed, how long it took until another one committed in a later term."""
    lines = sorted((line for trace in traces for line in trace), key=lambda line: int(line["at"]))
    leaders = {(line["member"], line["term"]): line["at"] for line in lines if line.get("role") == "leader"}
    commits = [line for line in lines if line["kind"] == "commit" and (line["member"], line["term"]) in leaders]
    times = []
    for killed_at, member_id in leader_kills:
        led = max((term for (who, term), at in leaders.items() if who == member_id and at <= killed_at), default=0)
        first = next((line["at"] for line in commits if line["term"] > led and line["at"] > killed_at), None)
        if first is not None:
            times.append(first - killed_at)
    return times

"""Adopted recoveries on the journal of the real state machine (F5, F6, F8, F10)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from services.consensus.errors import HoldOpen, MemberDoesNotLead, RecoveryClosed
from services.consensus.state.commands import AdoptRecovery, Phase, RecordSteps
from services.recovery.model import RecoveryState, Step, StepKind, StepState
from services.recovery.ports import JournalRefused
from services.shared.runtime.clock import boottime_ns
from services.shared.runtime.errors import DomainError
from tests.support.eventually import eventually
from tests.support.machine_script import Script
from tests.support.recovery.machine_journal import MachineJournal
from tests.support.recovery.node import Node, dead_primary, quiet, running


@pytest.fixture
def journal() -> MachineJournal:
    return MachineJournal(Script())


async def begun(journal: MachineJournal, node: Node, kind: StepKind) -> None:
    """Let a node's recovery run until its steps of a kind hang at their servers."""
    node.executor.hold_before = kind
    node.find()

    def hangs() -> bool:
        steps = [each for record in journal.kept.values() for each in record.recovery.steps if each.kind is kind]
        return bool(steps) and all(each.number in node.executor.held_until_ns for each in steps)

    await eventually(hangs, within=5)


def left(journal: MachineJournal) -> list[Step]:
    """Return the steps whose intent has no outcome."""
    (record,) = journal.kept.values()
    return [step for step in record.recovery.steps if step.state is StepState.RUNNING]


CHANGING = [StepKind.FENCE, StepKind.FREEZE, StepKind.DRAIN, StepKind.PROMOTE, StepKind.REPOINT]


@pytest.mark.parametrize("kind", CHANGING)
async def test_adopter_says_that_outcomes_are_unknown_in_the_entry_of_its_own_intents(
    journal: MachineJournal, kind: StepKind
) -> None:
    first = Node(dead_primary(), machine=journal, token=journal.grant())
    async with running(first):
        await begun(journal, first, kind)
        first.lease.lose()
        await eventually(lambda: bool(first.stops), within=5)
    held = {step.number: step for step in left(journal)}
    assert held
    assert {hold.step for hold in journal.script.machine.journal.holds()} == set(held), "F5: the lease ended, they stay"

    token, begun_ns = journal.grant(), boottime_ns()
    second = Node(first.fleet, machine=journal, token=token)
    async with running(second):
        second.echo()
        assert (await second.closed()).state is RecoveryState.SUCCEEDED
    adopted = next(place for place, each in enumerate(journal.commands) if isinstance(each, AdoptRecovery))
    entry = journal.commands[adopted + 1]
    assert isinstance(entry, RecordSteps)
    assert {step.number for step in entry.steps if step.phase == Phase.UNKNOWN} == set(held), "F10"
    assert journal.script.machine.journal.holds() == ()

    (record,) = journal.kept.values()
    touched = {step.instance for step in held.values()}
    again = [step for step in record.recovery.steps if step.number > max(held) and step.instance in touched]
    waited = [second.executor.held_until_ns[step.number] for step in again if step.hold is not None]
    assert waited
    assert all(until is not None and until > begun_ns for until in waited), "F5: waits, or ends the old session"
    assert second.fleet.writable() == ["a"]


async def test_journal_refuses_an_adopter_that_leaves_a_hold_open(journal: MachineJournal) -> None:
    first = Node(dead_primary(), machine=journal, token=journal.grant())
    async with running(first):
        await begun(journal, first, StepKind.PROMOTE)
        first.lease.lose()
        await eventually(lambda: bool(first.stops), within=5)
    promote = next(step for step in left(journal) if step.kind is StepKind.PROMOTE)
    (record,) = journal.kept.values()
    adopted = await journal.adopt(record.recovery.recovery_id, journal.grant())
    with pytest.raises(JournalRefused, match="HOLD_OPEN"):
        await journal.record(adopted.recovery, [Step(90, StepKind.PROMOTE, promote.instance, state=StepState.RUNNING)])
    assert promote in left(journal)


REFUSALS = [
    pytest.param(None, id="its-leader-answers-that-the-token-is-stale"),
    pytest.param(MemberDoesNotLead("node2", "n2:50055"), id="its-member-answers-that-it-does-not-lead"),
]


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_deposed_recovery_stops_whichever_way_it_is_told(
    journal: MachineJournal, refusal: MemberDoesNotLead | None
) -> None:
    """Its lease still looks good when its write is refused: the refusal or the clock ends the work (F8)."""
    async with running(Node(dead_primary(), machine=journal, token=journal.grant())) as node:
        await begun(journal, node, StepKind.DRAIN)
        changed = len(node.executor.commands)
        journal.grant()
        journal.refuse(refusal)
        node.executor.go_on.set()  # DRAIN ends well; PROMOTE runs under the intent it has, and its end is refused.
        if refusal is not None:
            await eventually(lambda: len(node.executor.commands) > changed, within=5)
            await quiet(node)
            assert not node.executor.released, "NOT_LEADER may pass while the lease is live"
            node.lease.lose()
        await eventually(lambda: bool(node.executor.released), within=5)
        assert StepKind.REPOINT not in node.executor.commands
    (record,) = journal.kept.values()
    assert record.open
    assert [step.kind for step in left(journal)] == [StepKind.DRAIN, StepKind.PROMOTE]


STOPPED_BY = [
    pytest.param(None, "recovery.stopped", id="stale-token"),
    pytest.param(RecoveryClosed("r1"), "recovery.refused", id="closed-record"),
    pytest.param(HoldOpen("a:3306", "r2", 1, 1, 500), "recovery.refused", id="open-hold"),
]


@pytest.mark.parametrize(("refusal", "event"), STOPPED_BY)
async def test_refused_write_stops_what_runs_and_is_told(
    journal: MachineJournal, caplog: pytest.LogCaptureFixture, refusal: DomainError | None, event: str
) -> None:
    """VERIFY runs while its entry is written, under a lease that still looks good (F8: a refused step)."""
    caplog.set_level(logging.WARNING)
    async with running(Node(dead_primary(), machine=journal, token=journal.grant())) as node:
        await begun(journal, node, StepKind.REPOINT)
        journal.grant()
        journal.refuse(refusal)
        executor, repoint_may_end = node.executor, node.executor.go_on
        executor.hold_before, executor.go_on = StepKind.VERIFY, asyncio.Event()
        repoint_may_end.set()
        (stop,) = await eventually(lambda: node.stops, within=5)
        assert (stop.kind, stop.outcome_known) == ("verify", True)
        await eventually(lambda: event in [record.message for record in caplog.records], within=5)
        assert "recovery.broke" not in [record.message for record in caplog.records]
        assert executor.released
        assert StepKind.VERIFY not in executor.commands


async def test_stop_is_on_the_record_once_however_often_it_is_told(journal: MachineJournal) -> None:
    node = Node(dead_primary(), machine=journal, token=journal.grant())
    async with running(node):
        await begun(journal, node, StepKind.FREEZE)
        for step in left(journal):
            assert step.instance is not None
            node.executor.under_way[step.instance] = "STOP REPLICA"
        node.lease.lose()
        await eventually(lambda: bool(node.stops), within=5)
    token = journal.grant()
    for stop in (*node.stops, *node.stops):
        await journal.note_stop(stop)
    (record,) = journal.kept.values()
    told = [(each.fencing_token, each.step, each.statement, each.outcome_known) for each in node.stops]
    noted = record.recovery.stops
    assert [(each.fencing_token, each.step, each.statement, each.outcome_known) for each in noted] == told
    assert {each.statement for each in noted} == {"STOP REPLICA"}
    second = Node(node.fleet, machine=journal, token=token)
    async with running(second):
        second.echo()
        closed = await second.closed()
    assert closed.stops == noted, "whoever goes on leaves them"
    await journal.note_stop(replace(node.stops[0], step=99))
    (record,) = journal.kept.values()
    assert not record.open
    assert len(record.recovery.stops) == len(noted) + 1

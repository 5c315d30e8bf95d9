"""One recovery under one lease: intent before act (F6), holds (F5), stopping (F8), handing over (section 8.1)."""

from __future__ import annotations

from dataclasses import replace

from services.recovery.lease import outlasting_ns
from services.recovery.model import RecoveryState, Step, StepKind, StepState
from services.recovery.turn import HOLDS
from services.shared.runtime.clock import boottime_ns
from tests.support.eventually import eventually
from tests.support.recovery.node import Node, dead_primary, quiet, running


def steps_of(node: Node) -> tuple[Step, ...]:
    (record,) = node.journal.records.values()
    return record.recovery.steps


def newest(node: Node, kind: StepKind) -> StepState:
    return [step.state for step in steps_of(node) if step.kind is kind][-1]


async def test_nothing_is_done_before_its_intent_is_answered() -> None:
    async with running(Node(dead_primary())) as node:
        node.journal.fail_next = 1_000_000  # Written every time, answered never.
        node.find()
        await eventually(lambda: node.journal.writes > 3, within=5)
        assert node.executor.commands == []
        assert not node.executor.held_until_ns


async def test_lost_lease_ends_a_step_that_hangs_and_tells_what_was_under_way() -> None:
    async with running(Node(dead_primary())) as node:
        node.executor.hold_before = StepKind.PROMOTE
        node.find()
        await eventually(lambda: StepKind.DRAIN in node.executor.commands, within=5)
        promote = next(step for step in steps_of(node) if step.kind is StepKind.PROMOTE)
        assert promote.instance is not None
        await eventually(lambda: promote.number in node.executor.held_until_ns, within=5)
        node.executor.under_way[promote.instance] = "SET GLOBAL read_only = OFF"
        node.lease.lose()
        (stop,) = await eventually(lambda: node.stops, within=1)
        assert (stop.step, stop.kind, stop.instance) == (promote.number, "promote", str(promote.instance))
        assert (stop.statement, stop.outcome_known) == ("SET GLOBAL read_only = OFF", False)
        assert stop.fencing_token == 7
        await eventually(lambda: promote.instance in node.executor.released, within=1)
        assert StepKind.PROMOTE not in node.executor.commands
        assert newest(node, StepKind.PROMOTE) is StepState.RUNNING


async def test_lapsed_lease_stops_the_work_even_when_it_is_valid_again() -> None:
    async with running(Node(dead_primary())) as node:
        node.executor.hold_before = StepKind.PROMOTE
        node.find()
        await eventually(lambda: StepKind.DRAIN in node.executor.commands, within=5)
        node.lease.state = replace(node.lease.pinned, lease_seq=2)
        (stop,) = await eventually(lambda: node.stops, within=1)
        assert "lapsed" in stop.why
        assert stop.outcome_known


async def test_handover_lets_the_running_step_end_and_begins_no_other() -> None:
    async with running(Node(dead_primary())) as node:
        node.executor.hold_before = StepKind.DRAIN
        node.find()
        await eventually(lambda: StepKind.FREEZE in node.executor.commands, within=5)
        await eventually(lambda: len(node.executor.held_until_ns) > 3, within=5)  # DRAIN has begun.
        node.lease.drain()
        node.app.consider()
        await quiet(node)
        assert node.lease.state is not None, "a lease is not given back while a step runs"
        node.executor.go_on.set()
        await eventually(lambda: node.lease.state is None, within=5)
        assert StepKind.DRAIN in node.executor.commands
        assert StepKind.PROMOTE not in node.executor.commands
        assert newest(node, StepKind.PROMOTE) is StepState.SKIPPED
        assert node.stops == []

    successor = Node(node.fleet, journal=node.journal, token=9)
    async with running(successor):
        successor.find()
        successor.echo()
        assert (await successor.closed()).state is RecoveryState.SUCCEEDED


async def test_lease_that_is_handed_over_is_given_back_at_once_when_nothing_runs() -> None:
    async with running(Node(dead_primary())) as node:
        node.lease.drain()
        node.find()
        await eventually(lambda: node.lease.state is None, within=5)
        assert not node.journal.records


async def test_adopted_step_waits_for_the_former_executor_where_it_may_still_be_at_work() -> None:
    async with running(Node(dead_primary())) as node:
        node.executor.hold_before = StepKind.FREEZE
        node.find()
        await eventually(lambda: len(node.executor.held_until_ns) >= 3, within=5)
        assert set(node.executor.held_until_ns.values()) == {None}, "it is the first to work here"
        node.lease.lose()
        await eventually(lambda: bool(node.stops), within=5)
    held = {step.number for step in steps_of(node) if step.hold is not None}
    assert held

    begun = boottime_ns()
    successor = Node(node.fleet, journal=node.journal, token=9)
    async with running(successor):
        successor.echo()
        await successor.closed()
    longest = max(outlasting_ns(hold) for hold in (HOLDS[StepKind.FENCE], HOLDS[StepKind.FREEZE]))
    (record,) = successor.journal.records.values()
    for step in record.recovery.steps:
        until = successor.executor.held_until_ns.get(step.number)
        if step.kind in (StepKind.FENCE, StepKind.FREEZE) and step.number not in held:
            assert until is not None, f"{step.kind} at {step.instance}"
            assert begun < until <= boottime_ns() + longest
    assert node.fleet.writable() == ["a"]

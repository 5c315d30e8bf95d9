"""The life of a recovery on values: its order, its failures, and that any leader can take it over at any point."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

import pytest

from services.recovery.machine import RecoveryMachine
from services.recovery.model import LossState, Recovery, RecoveryKind, RecoveryState, StepKind, StepState
from services.recovery.policy import PlanningPolicy
from services.recovery.turn import HOLDS, Command, StepResult, Turn
from services.shared.topology.operators import PromotionRule
from tests.support.recovery.fleet import FakeFleet
from tests.support.recovery.topologies import CLUSTER, NOW, P, gtids, key, primary, replica, uuid


def recovery(kind: RecoveryKind = RecoveryKind.DEAD_PRIMARY) -> Recovery:
    return Recovery("r-1", kind, CLUSTER, P, failed_server_uuid=uuid(1), start_time=NOW, fencing_token=7)


class Crash(Exception):
    """The leader dies here."""


@dataclass
class Journal:
    """What was committed; `left` more writes succeed, then the leader dies before one."""

    recovery: Recovery
    left: int = 1000
    open: bool = True
    intents: list[tuple[int, StepKind]] = field(default_factory=list)

    def write(self, turn: Turn, machine: RecoveryMachine) -> None:
        if self.left == 0:
            raise Crash
        self.left -= 1
        known = {step.number: step for step in self.recovery.steps}
        known.update({step.number: step for step in turn.record})
        self.intents += [(step.number, step.kind) for step in turn.record if step.state is StepState.RUNNING]
        self.recovery = replace(machine.recovery, steps=tuple(known[number] for number in sorted(known)))
        self.open = not turn.close


def drive(
    machine: RecoveryMachine,
    turn: Turn,
    journal: Journal,
    fleet: FakeFleet,
    commands: int = 1000,
    before: Callable[[Command], None] = lambda _: None,
) -> None:
    """Carry a recovery through; the leader dies after so many commands, their results unwritten."""
    pending: deque[StepResult] = deque()
    now = NOW
    while True:
        if turn.record or turn.close:
            journal.write(turn, machine)
        if turn.close:
            return
        for command in turn.commands:
            if commands == 0:
                raise Crash
            commands -= 1
            before(command)
            must_be_journaled = command.step.kind in HOLDS
            assert not must_be_journaled or (command.step.number, command.step.kind) in journal.intents
            pending.append(fleet.carry_out(command))
        following = None
        while following is None:
            now += timedelta(milliseconds=5)
            following = machine.ended(pending.popleft(), fleet.snapshot(), now)
        turn = following


def run(fleet: FakeFleet, journal: Journal | None = None, commands: int = 1000) -> Recovery:
    machine = RecoveryMachine(recovery())
    journal = journal or Journal(machine.recovery)
    drive(machine, machine.start(fleet.snapshot(), NOW), journal, fleet, commands)
    return machine.recovery


def fleet_of_three() -> FakeFleet:
    fleet = FakeFleet(primary(), replica("a", 110, executed=105), replica("b", 90), replica("c", 100))
    fleet.dead.add(P)
    return fleet


def kinds(finished: Recovery, state: StepState = StepState.DONE) -> list[str]:
    return [f"{step.kind.value} {step.instance.host if step.instance else ''}".strip() for step in finished.steps
            if step.state is state]  # fmt: skip


def test_dead_primary_is_replaced_by_the_replica_that_received_most() -> None:
    fleet = fleet_of_three()
    finished = run(fleet)
    assert finished.state is RecoveryState.SUCCEEDED
    assert (finished.successor, finished.epoch) == (key("a"), 2)
    assert fleet.writable() == ["a"]
    assert fleet.published == [key("a")]
    assert {fleet.servers[key(name)].sources for name in "bc"} == {(key("a"),)}
    assert kinds(finished) == ["freeze a", "freeze b", "freeze c", "choose a", "drain a", "promote a", "publish a",
                               "repoint b", "repoint c", "verify a"]  # fmt: skip
    assert kinds(finished, StepState.FAILED) == ["fence p"]
    assert [timing.phase for timing in finished.phases] == ["plan", "drain", "promote", "publish", "repoint"]


def test_writes_to_the_journal_are_few() -> None:
    journal = Journal(recovery())
    run(fleet_of_three(), journal)
    assert 1000 - journal.left == 6


def test_no_replica_is_moved_before_the_promotion_is_known_to_have_worked() -> None:
    fleet = fleet_of_three()
    fleet.stuck.add(key("a"))
    finished = run(fleet)
    assert finished.state is RecoveryState.FAILED
    assert "nothing was applied" in finished.error
    assert fleet.writable() == []
    assert all(fleet.servers[key(name)].sources == (P,) for name in "abc")
    assert fleet.published == []


def test_failed_recovery_says_which_statements_remain() -> None:
    fleet = fleet_of_three()
    fleet.stuck.add(key("a"))
    drain = run(fleet).last_step(StepKind.DRAIN)
    assert drain is not None
    assert drain.remaining_statements == (
        "WAIT",
        "on a:3306: START REPLICA IO_THREAD",
        "on b:3306: START REPLICA IO_THREAD",
        "on c:3306: START REPLICA IO_THREAD",
    )


def test_choice_that_died_before_its_promotion_is_replaced() -> None:
    fleet = fleet_of_three()
    machine = RecoveryMachine(recovery())

    def kill_choice(command: Command) -> None:
        if command.step.kind is StepKind.DRAIN and command.step.instance == key("a"):
            fleet.dead.add(key("a"))

    drive(machine, machine.start(fleet.snapshot(), NOW), Journal(machine.recovery), fleet, before=kill_choice)
    assert machine.recovery.successor == key("c")
    assert machine.recovery.state is RecoveryState.SUCCEEDED_WITH_LOSSES
    assert machine.recovery.lost_replicas == (key("a"),)
    assert fleet.writable() == ["c"]


def test_replica_that_cannot_be_repointed_is_lost_and_the_rest_succeeds() -> None:
    fleet = fleet_of_three()
    fleet.refuse_repoint.add(key("b"))
    finished = run(fleet)
    assert finished.state is RecoveryState.SUCCEEDED_WITH_LOSSES
    assert finished.lost_replicas == (key("b"),)
    entry = next(each for each in finished.candidates if each.instance == key("b"))
    assert "could not be re-pointed: denied" in entry.reason


def test_replica_that_does_not_answer_the_freeze_is_lost_with_the_reason() -> None:
    fleet = fleet_of_three()
    fleet.dead.add(key("c"))
    finished = run(fleet)
    assert finished.successor == key("a")
    assert finished.lost_replicas == (key("c"),)
    assert "connection refused" in next(each.reason for each in finished.candidates if each.instance == key("c"))


def test_nobody_to_promote_ends_without_a_change_of_roles() -> None:
    fleet = FakeFleet(primary(), replica("a", promotion_rule=PromotionRule.MUST_NOT))
    finished = run(fleet)
    assert finished.state is RecoveryState.FAILED
    assert "its promotion rule is MUST_NOT" in finished.error
    assert fleet.writable() == []


def fleet_with_preferred() -> FakeFleet:
    preferred = replica("c", 90, promotion_rule=PromotionRule.PREFER)
    fleet = FakeFleet(primary(), replica("a", 110, executed=105), replica("b", 100), preferred)
    fleet.dead.add(P)
    return fleet


def test_preferred_replica_catches_up_and_is_promoted() -> None:
    fleet = fleet_with_preferred()
    finished = run(fleet)
    assert (finished.state, finished.interim) == (RecoveryState.SUCCEEDED, key("a"))
    assert fleet.writable() == ["c"]
    assert fleet.servers[key("c")].executed_gtid_set == gtids(110)
    assert [each for each in kinds(finished) if "freeze" not in each] == [
        "choose c", "drain a", "catch_up c", "promote c", "publish c", "repoint a", "repoint b", "verify c",
    ]  # fmt: skip


@pytest.mark.parametrize("trouble", ["dead", "refuses"])
def test_replica_that_does_not_catch_up_is_passed_over(trouble: str) -> None:
    fleet = fleet_with_preferred()
    (fleet.refuse_repoint if trouble == "refuses" else fleet.dead).add(key("c"))
    if trouble == "dead":
        fleet.dead.discard(key("c"))
    machine = RecoveryMachine(recovery())

    def die(command: Command) -> None:
        if trouble == "dead" and command.step.kind is StepKind.CATCH_UP:
            fleet.dead.add(key("c"))

    drive(machine, machine.start(fleet.snapshot(), NOW), Journal(machine.recovery), fleet, before=die)
    assert fleet.writable() == ["a"]
    assert machine.recovery.interim is None
    assert machine.recovery.state is RecoveryState.SUCCEEDED_WITH_LOSSES


@pytest.mark.parametrize("commands", range(1, 12))
def test_next_leader_finishes_a_promotion_in_two_steps(commands: int) -> None:
    fleet = fleet_with_preferred()
    journal = Journal(recovery())
    try:
        run(fleet, journal, commands=commands)
    except Crash:
        machine = RecoveryMachine(journal.recovery)
        drive(machine, machine.resume(fleet.snapshot(), NOW), journal, fleet)
    assert journal.recovery.state is RecoveryState.SUCCEEDED
    assert fleet.writable() == ["c"]
    assert {each.sources for each in fleet.servers.values() if each.key in (key("a"), key("b"))} == {(key("c"),)}


def test_policy_steers_the_choice_of_the_real_thing() -> None:
    fleet = fleet_of_three()
    machine = RecoveryMachine(recovery(), policy=PlanningPolicy(promotion_ignore_hosts=("^a:",)))
    drive(machine, machine.start(fleet.snapshot(), NOW), Journal(machine.recovery), fleet)
    assert fleet.writable() == ["c"]


def test_primary_that_answers_is_fenced_and_bounds_the_loss() -> None:
    fleet = FakeFleet(primary(executed_gtid_set=gtids(112)), replica("a", 110))
    finished = run(fleet)
    assert finished.loss is not None
    assert (finished.loss.state, finished.loss.gtid_set) == (LossState.BOUNDED, f"{uuid(1)}:111-112")
    assert fleet.writable() == ["a"]


CRASHES: Final = [
    *(pytest.param(writes, 1000, id=f"before write {writes + 1}") for writes in range(7)),
    *(pytest.param(1000, commands, id=f"after command {commands}") for commands in range(10)),
]


@pytest.mark.parametrize(("writes", "commands"), CRASHES)
def test_next_leader_finishes_what_the_dead_one_left(writes: int, commands: int) -> None:
    fleet = fleet_of_three()
    journal = Journal(recovery(), left=writes)
    try:
        run(fleet, journal, commands=commands)
    except Crash:
        journal.left = 1000
        machine = RecoveryMachine(replace(journal.recovery, fencing_token=9))
        drive(machine, machine.resume(fleet.snapshot(), NOW), journal, fleet)
    assert journal.open is False
    assert journal.recovery.successor == key("a")
    assert journal.recovery.state is RecoveryState.SUCCEEDED
    assert fleet.writable() == ["a"]
    assert set(fleet.published) == {key("a")}
    assert {fleet.servers[key(name)].sources for name in "bc"} == {(key("a"),)}
    assert all(step.state.ended for step in journal.recovery.steps)


@pytest.mark.parametrize("commands", range(1, 10))
def test_choice_sticks_even_if_another_replica_now_looks_better(commands: int) -> None:
    fleet = fleet_of_three()
    journal = Journal(recovery())
    with pytest.raises(Crash):
        run(fleet, journal, commands=commands)
    chosen = journal.recovery.last_step(StepKind.CHOOSE)
    fleet.servers[key("c")] = replace(fleet.servers[key("c")], executed_gtid_set=gtids(500))
    machine = RecoveryMachine(journal.recovery)
    drive(machine, machine.resume(fleet.snapshot(), NOW), journal, fleet)
    assert journal.recovery.successor == (key("a") if chosen is not None else key("c"))
    assert len(fleet.writable()) == 1


def test_choice_that_died_in_its_promotion_is_not_replaced() -> None:
    fleet = fleet_of_three()
    journal = Journal(recovery(), left=2)
    with pytest.raises(Crash):
        run(fleet, journal)  # PROMOTE was carried out, nobody wrote so.
    assert fleet.writable() == ["a"]
    journal.left = 1000
    fleet.dead.add(key("a"))
    machine = RecoveryMachine(journal.recovery)
    drive(machine, machine.resume(fleet.snapshot(), NOW), journal, fleet)
    assert journal.recovery.state is RecoveryState.FAILED
    assert fleet.writable() == []


def test_steps_of_the_dead_leader_are_told_as_unknown() -> None:
    fleet = fleet_of_three()
    journal = Journal(recovery())
    with pytest.raises(Crash):
        run(fleet, journal, commands=2)
    machine = RecoveryMachine(journal.recovery)
    drive(machine, machine.resume(fleet.snapshot(), NOW), journal, fleet)
    assert [step.kind for step in journal.recovery.steps if step.state is StepState.UNKNOWN] == [
        StepKind.FENCE, StepKind.FREEZE, StepKind.FREEZE, StepKind.FREEZE]  # fmt: skip


def test_long_drain_renews_the_intent_of_the_promotion() -> None:
    fleet = fleet_of_three()
    machine = RecoveryMachine(recovery())
    turn = machine.start(fleet.snapshot(), NOW)
    results = [fleet.carry_out(command) for command in turn.commands]
    answers = [machine.ended(result, fleet.snapshot(), NOW) for result in results]
    drain = answers[-1]
    assert drain is not None
    late = NOW + HOLDS[StepKind.PROMOTE] * 0.6
    promote = machine.ended(fleet.carry_out(drain.commands[0]), fleet.snapshot(), late)
    assert promote is not None
    renewed = [step for step in promote.record if step.kind is StepKind.PROMOTE]
    assert [step.start_time for step in renewed] == [late]


def test_former_primary_is_fenced_and_what_it_has_alone_is_told() -> None:
    fleet = FakeFleet(primary(executed_gtid_set=gtids(103)), replica("a", read_only=False, channels=()))
    machine = RecoveryMachine(replace(recovery(RecoveryKind.FORMER_PRIMARY), successor=key("a")))
    journal = Journal(machine.recovery)
    drive(machine, machine.start(fleet.snapshot(), NOW), journal, fleet)
    assert fleet.writable() == ["a"]
    assert fleet.statements == [("p", StepKind.FENCE)]
    loss = journal.recovery.loss
    assert loss is not None
    assert (loss.state, loss.gtid_set) == (LossState.BOUNDED, f"{uuid(1)}:101-103")
    assert journal.recovery.state is RecoveryState.SUCCEEDED


def test_former_primary_that_cannot_be_reached_fails_and_says_so() -> None:
    fleet = FakeFleet(primary(), replica("a", read_only=False, channels=()))
    fleet.dead.add(P)
    machine = RecoveryMachine(replace(recovery(RecoveryKind.FORMER_PRIMARY), successor=key("a")))
    journal = Journal(machine.recovery)
    drive(machine, machine.start(fleet.snapshot(), NOW), journal, fleet)
    assert journal.recovery.state is RecoveryState.FAILED
    assert "connection refused" in journal.recovery.error

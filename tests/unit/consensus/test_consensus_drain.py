"""When leadership may be handed over for all that lease holders do (8.1 b)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from services.consensus.state.commands import (
    AdoptRecovery,
    CloseRecovery,
    Command,
    GrantLease,
    Phase,
    RecordSteps,
    RegisterRecovery,
    ReleaseLease,
    StepWrite,
)
from services.consensus.state.drain import begins_work, runs_step
from services.consensus.state.lease_table import Lease
from services.consensus.state.machine import Machine

GRANT = GrantLease("recovery", 1, "session")
REGISTER = RegisterRecovery("r1", 1, "cluster", "db1:3306", b"", 0)


def step(phase: Phase, number: int = 1) -> StepWrite:
    return StepWrite(number, int(phase), None, b"")


def steps(token: int, *written: StepWrite) -> RecordSteps:
    return RecordSteps("r1", token, written, b"")


class World:
    """A machine and the token of its newest lease."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.token = 0
        self.apply(GRANT)

    def apply(self, command: Command | None, term: int = 1) -> Any:
        result = self.machine.apply(self.machine.mark.applied_index + 1, term, 1_000, command).result
        if isinstance(result, Lease):
            self.token = result.fencing_token
        return result


@pytest.mark.parametrize(
    ("command", "begins"),
    [
        pytest.param(GRANT, True, id="grant"),
        pytest.param(REGISTER, True, id="register"),
        pytest.param(AdoptRecovery("r1", 1), True, id="adopt"),
        pytest.param(steps(1, step(Phase.INTENT)), True, id="intent"),
        pytest.param(steps(1, step(Phase.DONE), step(Phase.INTENT, 2)), True, id="end-and-next-intent"),
        pytest.param(steps(1, step(Phase.DONE)), False, id="end"),
        pytest.param(steps(1, step(Phase.UNKNOWN)), False, id="outcome-unknown"),
        pytest.param(CloseRecovery("r1", 1, b"", True), False, id="close"),
        pytest.param(ReleaseLease("recovery", "session", 1), False, id="release"),
    ],
)
def test_only_what_lets_a_holder_begin_something_waits_for_the_next_leader(command: Command, begins: bool) -> None:
    assert begins_work(command) is begins


def test_lease_without_an_intent_holds_nothing_up() -> None:
    assert not runs_step(Machine())
    assert not runs_step(World().machine)


def test_step_runs_from_its_intent_to_its_end() -> None:
    world = World()
    world.apply(replace(REGISTER, fencing_token=world.token))
    assert not runs_step(world.machine)
    world.apply(steps(world.token, step(Phase.INTENT), step(Phase.INTENT, 2)))
    assert runs_step(world.machine)
    world.apply(steps(world.token, step(Phase.DONE)))
    assert runs_step(world.machine)
    world.apply(steps(world.token, step(Phase.FAILED, 2)))
    assert not runs_step(world.machine)


def test_intent_of_an_earlier_lease_is_nobodys_running_step() -> None:
    world = World()
    world.apply(replace(REGISTER, fencing_token=world.token))
    world.apply(steps(world.token, step(Phase.INTENT)))
    world.apply(None, term=2)
    assert not runs_step(world.machine)
    world.apply(GRANT, term=2)
    assert not runs_step(world.machine)

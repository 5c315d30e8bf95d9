"""Holds and tokens of an adopted recovery: what a newer executor may touch, and when (F5, F6, F7, F10)."""

from __future__ import annotations

import pytest

from services.consensus.errors import Downtimed, HoldOpen, PolicyChanged, RecoveriesDisabled, RecoveryOpen
from services.consensus.state.commands import (
    AdoptRecovery,
    CloseRecovery,
    GrantLease,
    Phase,
    RecordSteps,
    RegisterRecovery,
    StepWrite,
)
from services.consensus.state.lease_table import Lease
from services.consensus.state.recovery_record import Hold, Recovery
from services.consensus.state.registry.commands import BeginDowntime, EndDowntime, SetPolicy, SetSetting
from services.consensus.state.registry.policy import Policy
from services.shared.runtime.errors import StaleFencingToken
from tests.support.machine_script import GRANT, Script, origin

DB1, DB2 = "db1:3306", "db2:3306"


@pytest.fixture
def script() -> Script:
    """Token 1 has recovery r1 open and holds db1 for 500 ms with step 1; then its member was deposed."""
    script = Script()
    script.apply(GRANT)
    script.apply(RegisterRecovery("r1", 1, "c1", DB1, b"", 0))
    script.apply(intent(1, 1, DB1, hold_ms=500), stamp_ms=100)
    script.term = 2
    script.apply(None)
    return script


def intent(token: int, number: int, instance: str, *, hold_ms: int | None = None, recovery: str = "r1") -> RecordSteps:
    return RecordSteps(recovery, token, (StepWrite(number, Phase.INTENT, hold_ms, b"", instance),), b"")


def outcome(token: int, number: int, phase: Phase) -> RecordSteps:
    return RecordSteps("r1", token, (StepWrite(number, phase, None, b""),), b"")


def grant(script: Script) -> int:
    """Grant the lease to the successor's executor and return its token."""
    lease = script.apply(GrantLease("recovery", 2, "s2"))
    assert isinstance(lease, Lease)
    return lease.fencing_token


def adopt(script: Script) -> int:
    """Have the successor's executor adopt the recovery and return its token."""
    token = grant(script)
    assert isinstance(script.apply(AdoptRecovery("r1", token)), Recovery)
    return token


def test_hold_says_who_may_still_be_changing_what_for_how_long(script: Script) -> None:
    assert script.machine.journal.holds() == (Hold("r1", 1, DB1, 1, 500, propose_ms=100, log_index=3),)
    adopt(script)
    assert len(script.machine.journal.holds()) == 1, "F1: the lease ended, its holds stay"
    assert script.restarted().machine.journal.holds() == script.machine.journal.holds()


def test_hold_does_not_delay_the_grant_itself(script: Script) -> None:
    assert grant(script) == script.index, "F2: waiting is per instance"


def test_hold_keeps_the_adopting_executor_from_that_instance_only(script: Script) -> None:
    token = adopt(script)
    assert script.apply(intent(token, 2, DB1)) == HoldOpen(DB1, "r1", 1, 1, 500)
    assert script.changes == ()
    assert script.apply(intent(token, 3, DB2)) == script.index


def test_hold_blocks_a_recovery_of_another_cluster_on_the_same_instance(script: Script) -> None:
    token = grant(script)
    first_step = StepWrite(1, Phase.INTENT, None, b"", DB1)
    other = RegisterRecovery("r2", token, "c2", DB2, b"", 0, (first_step,))
    assert script.apply(other) == HoldOpen(DB1, "r1", 1, 1, 500)
    assert isinstance(script.apply(RegisterRecovery("r2", token, "c2", DB2, b"", 0)), Recovery)


@pytest.mark.parametrize("phase", [Phase.DONE, Phase.FAILED, Phase.UNKNOWN])
def test_recorded_outcome_ends_the_hold(script: Script, phase: Phase) -> None:
    token = adopt(script)
    assert isinstance(script.apply(outcome(token, 1, phase)), int)
    assert script.machine.journal.holds() == ()
    assert isinstance(script.apply(intent(token, 2, DB1)), int)


def test_step_whose_outcome_nobody_knows_may_start_again(script: Script) -> None:
    token = adopt(script)
    script.apply(outcome(token, 1, Phase.UNKNOWN))
    assert isinstance(script.apply(intent(token, 1, DB1, hold_ms=900)), int), "F10: repeating it is harmless"
    assert [(hold.fencing_token, hold.bound_ms) for hold in script.machine.journal.holds()] == [(token, 900)]


def test_outcome_and_next_intent_fit_into_one_entry(script: Script) -> None:
    token = adopt(script)
    both = (StepWrite(1, Phase.UNKNOWN, None, b""), StepWrite(2, Phase.INTENT, 900, b"", DB1))
    assert isinstance(script.apply(RecordSteps("r1", token, both, b"")), int)
    assert [(hold.step, hold.fencing_token) for hold in script.machine.journal.holds()] == [(2, token)]


def test_held_step_does_not_start_again_before_its_outcome_is_recorded(script: Script) -> None:
    token = adopt(script)
    assert isinstance(script.apply(intent(token, 1, DB1)), HoldOpen)


def test_executor_is_not_kept_from_its_own_holds(script: Script) -> None:
    token = adopt(script)
    script.apply(outcome(token, 1, Phase.UNKNOWN))
    script.apply(intent(token, 2, DB1, hold_ms=900))
    assert isinstance(script.apply(intent(token, 3, DB1)), int)


def test_end_of_the_recovery_ends_its_holds(script: Script) -> None:
    token = adopt(script)
    script.apply(CloseRecovery("r1", token, b"", False))
    assert script.machine.journal.holds() == ()


def test_deposed_executor_cannot_even_write_its_intention(script: Script) -> None:
    assert script.apply(intent(1, 2, DB2)) == StaleFencingToken(newest=1, offered=1), "the term ended its lease"
    token = grant(script)
    assert script.apply(intent(1, 2, DB2)) == StaleFencingToken(newest=token, offered=1)
    assert script.apply(intent(token, 2, DB2)) == StaleFencingToken(newest=1, offered=token), "not before it adopts"
    script.apply(AdoptRecovery("r1", token))
    assert script.apply(outcome(1, 1, Phase.DONE)) == StaleFencingToken(newest=token, offered=1)


def test_recovery_of_an_older_token_can_only_be_adopted(script: Script) -> None:
    token = grant(script)
    again = RegisterRecovery("r2", token, "c1", DB1, b"", 0)
    assert script.apply(again) == RecoveryOpen("r1", "c1", 1)
    adopted = script.apply(AdoptRecovery("r1", token))
    assert isinstance(adopted, Recovery)
    assert adopted.fencing_token == token
    assert script.apply(again) == RecoveryOpen("r1", "c1", token)


# F7: what forbids a recovery is looked at again where it is registered.


def automatic(*, policy_revision: int = 0, automatic: bool = True) -> RegisterRecovery:
    return RegisterRecovery("r9", 1, "c9", DB2, b"", 0, (), automatic, policy_revision)


@pytest.fixture
def gated() -> Script:
    """A machine on which token 1 holds the lease."""
    script = Script()
    script.apply(GRANT)
    return script


@pytest.mark.parametrize("scope", [f"instance:{DB2}", "cluster:c9"])
def test_downtime_forbids_what_nobody_asked_for(gated: Script, scope: str) -> None:
    gated.apply(BeginDowntime(origin("q1"), scope, 100, None, 50), stamp_ms=10)
    assert isinstance(gated.apply(automatic(), stamp_ms=100), Downtimed)
    assert gated.machine.journal.all() == ()
    assert isinstance(gated.apply(automatic(automatic=False), stamp_ms=100), Recovery)


@pytest.mark.parametrize(
    "stamp_ms", [pytest.param(99, id="not-begun"), pytest.param(150, id="over"), pytest.param(9_000, id="long-over")]
)
def test_downtime_forbids_nothing_outside_its_time(gated: Script, stamp_ms: int) -> None:
    gated.apply(BeginDowntime(origin("q1"), f"instance:{DB2}", 100, None, 50), stamp_ms=10)
    assert isinstance(gated.apply(automatic(), stamp_ms=stamp_ms), Recovery)


def test_downtime_that_ended_early_forbids_nothing(gated: Script) -> None:
    gated.apply(BeginDowntime(origin("q1"), "cluster:c9", None, None, 50))
    gated.apply(EndDowntime(origin("q2"), "cluster:c9"))
    assert isinstance(gated.apply(automatic()), Recovery)


def test_global_switch_forbids_what_nobody_asked_for(gated: Script) -> None:
    gated.apply(SetSetting(origin("q1"), "recoveries", "off"))
    assert gated.apply(automatic()) == RecoveriesDisabled("ops", "because")
    gated.apply(SetSetting(origin("q2"), "recoveries", "on"))
    assert isinstance(gated.apply(automatic()), Recovery)


@pytest.mark.parametrize("asked_for", [True, False])
def test_recovery_judged_by_older_policies_is_refused_whoever_asks(gated: Script, asked_for: bool) -> None:
    policy = gated.apply(SetPolicy(origin("q1"), "fleet", "act", "", None, None, None, "", None, None))
    assert isinstance(policy, Policy)
    newest = gated.machine.registry.policy_revision
    stale = automatic(policy_revision=newest - 1, automatic=not asked_for)
    assert gated.apply(stale) == PolicyChanged(newest=newest, offered=newest - 1)
    assert isinstance(gated.apply(automatic(policy_revision=newest)), Recovery)


def test_repeated_registration_is_answered_though_it_would_be_forbidden_now(gated: Script) -> None:
    first = gated.apply(automatic())
    gated.apply(SetSetting(origin("q1"), "recoveries", "off"))
    assert gated.apply(automatic()) == first

"""What the journal keeps comes back as it was written, steps and all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from primacy.analysis.v1 import analysis_pb2
from primacy.consensus.v1 import consensus_pb2
from primacy.recovery.v1 import recovery_pb2

from services.recovery.convert import (
    finding_from_proto,
    record_from_proto,
    recovery_to_proto,
    step_record_to_proto,
    timeout_from_proto,
)
from services.recovery.machine import RecoveryMachine
from services.recovery.model import Recovery, RecoveryKind, StepState
from services.recovery.planner import plan_failover
from services.recovery.situation import Situation
from services.shared.runtime.errors import InvalidField
from services.shared.topology.snapshot import TopologySnapshot
from tests.support.recovery.fleet import FakeFleet
from tests.support.recovery.topologies import CLUSTER, NOW, P, key, primary, replica, snapshot, uuid


def journaled(recovery: Recovery) -> Recovery:
    """Return a recovery after its way through the journal."""
    message = consensus_pb2.RecoveryRecord(
        recovery_id=recovery.recovery_id,
        cluster_id=recovery.cluster_id,
        fencing_token=recovery.fencing_token,
        open=True,
        data=recovery_to_proto(recovery, with_steps=False).SerializeToString(),
        steps=[step_record_to_proto(step) for step in recovery.steps],
    )
    return record_from_proto(consensus_pb2.RecoveryRecord.FromString(message.SerializeToString())).recovery


def finished(fleet: FakeFleet) -> Recovery:
    machine = RecoveryMachine(
        Recovery(
            "r-1", RecoveryKind.DEAD_PRIMARY, CLUSTER, P, "shop", uuid(1), "DeadMaster", start_time=NOW, detect_time=NOW
        )
    )
    turn = machine.start(fleet.snapshot(), NOW)
    results = []
    while not turn.close:
        results += [fleet.carry_out(command) for command in turn.commands]
        following = None
        while following is None:
            following = machine.ended(results.pop(0), fleet.snapshot(), NOW + timedelta(milliseconds=7))
        turn = following
    return replace(machine.recovery, fencing_token=41, node="node2")


@pytest.mark.parametrize("refuse", [False, True])
def test_recovery_survives_the_journal_unchanged(refuse: bool) -> None:
    fleet = FakeFleet(primary(), replica("a", 110), replica("b", 90), replica("c", log_bin=False))
    fleet.dead.add(P)
    if refuse:
        fleet.refuse_repoint.add(key("b"))
    recovery = finished(fleet)
    assert recovery.phases
    assert recovery.candidates
    assert recovery.loss is not None
    assert journaled(recovery) == recovery


def test_every_state_of_a_step_has_a_phase_in_the_journal() -> None:
    steps = plan_failover(Situation(snapshot(primary(), replica("a")), P, NOW)).steps
    for state in StepState:
        if state is not StepState.PLANNED:
            assert step_record_to_proto(replace(steps[0], state=state)).phase != 0


def test_unknown_kind_of_finding_has_no_recovery() -> None:
    finding = finding_from_proto(analysis_pb2.Finding(kind=9999, actionable=True))  # type: ignore[arg-type]
    assert finding.kind == "9999"


def test_timeouts_are_refused_out_of_range() -> None:
    request = recovery_pb2.StartRecoveryRequest()
    assert timeout_from_proto(request) is None
    request.catch_up_timeout.FromTimedelta(timedelta(seconds=3))
    assert timeout_from_proto(request) == timedelta(seconds=3)
    for wrong in (timedelta(), timedelta(seconds=-1), timedelta(days=2)):
        request.catch_up_timeout.FromTimedelta(wrong)
        with pytest.raises(InvalidField):
            timeout_from_proto(request)


def test_empty_snapshot_plans_nothing() -> None:
    plan = plan_failover(Situation(TopologySnapshot(), P, NOW))
    assert (plan.chosen, plan.steps, plan.candidates) == (None, (), ())

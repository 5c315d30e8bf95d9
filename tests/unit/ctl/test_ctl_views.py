"""What answers look like: golden text, made of messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from primacy.analysis.v1 import analysis_pb2
from primacy.consensus.v1 import consensus_pb2
from primacy.recovery.v1 import recovery_pb2
from primacy.topology.v1 import topology_pb2

from services.ctl.text import Line, plain
from services.ctl.views.advice import advice_lines, changes_lines
from services.ctl.views.explain import explain_lines
from services.ctl.views.findings import findings_lines
from services.ctl.views.plan import loss_line, plan_lines
from services.ctl.views.primaries import primaries_lines
from services.ctl.views.recoveries import recoveries_lines, recovery_lines
from services.ctl.views.status import NodeStatus, differing_states, status_lines

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


def text(lines: Sequence[Line]) -> str:
    """Return lines as a golden text has them."""
    return "\n" + "\n".join(plain(content) for content in lines)


def at(host: str) -> topology_pb2.Endpoint:
    """Return `<host>:3306`."""
    return topology_pb2.Endpoint(host=host, port=3306)


def ago(seconds: float) -> Timestamp:
    """Return an instant before `NOW`."""
    stamp = Timestamp()
    stamp.FromDatetime(NOW - timedelta(seconds=seconds))
    return stamp


def milliseconds(number: int) -> Duration:
    """Return a span of time."""
    span = Duration()
    span.FromMilliseconds(number)
    return span


DEAD = analysis_pb2.Finding(
    cluster_id="id",
    cluster_alias="orders",
    instance=at("p"),
    kind=analysis_pb2.FINDING_KIND_DEAD_PRIMARY,
    orchestrator_code="DeadMaster",
    actionable=True,
    description="The primary does not answer and no replica hears from it.",
    counts=analysis_pb2.ReplicaCounts(replicas=3, valid=3, failing_to_connect=3, lagging=1),
    detect_time=ago(2),
)
CANDIDATES = [
    recovery_pb2.PromotionCandidate(
        instance=at("r1"), verdict=recovery_pb2.CANDIDATE_VERDICT_CHOSEN, rank=1, reason="received most"
    ),
    recovery_pb2.PromotionCandidate(
        instance=at("r2"),
        verdict=recovery_pb2.CANDIDATE_VERDICT_ELIGIBLE,
        rank=2,
        reason="received less",
        missing_gtid_set="u:7-9",
    ),
    recovery_pb2.PromotionCandidate(
        instance=at("r3"),
        verdict=recovery_pb2.CANDIDATE_VERDICT_REFUSED,
        refusal=recovery_pb2.REFUSAL_REASON_NO_BINLOG,
        reason="its binary log is off",
    ),
]
PLAN = recovery_pb2.FailoverPlan(
    failed=at("p"),
    chosen=at("r1"),
    candidates=CANDIDATES,
    steps=[
        recovery_pb2.Step(number=1, kind=recovery_pb2.STEP_KIND_CHOOSE),
        recovery_pb2.Step(
            number=2,
            kind=recovery_pb2.STEP_KIND_PROMOTE,
            instance=at("r1"),
            statements=["STOP REPLICA", "SET GLOBAL super_read_only = OFF"],
        ),
    ],
    loss=recovery_pb2.Loss(state=recovery_pb2.Loss.STATE_BOUNDED, gtid_set="u:10", proof="seen on p"),
    lost_replicas=[at("r3")],
)
RECOVERY = recovery_pb2.Recovery(
    recovery_id="7d0c",
    kind=recovery_pb2.RECOVERY_KIND_DEAD_PRIMARY,
    cluster_alias="orders",
    failed=at("p"),
    orchestrator_code="DeadMaster",
    started_by="automatic",
    state=recovery_pb2.Recovery.STATE_SUCCEEDED_WITH_LOSSES,
    successor=at("r1"),
    steps=[
        recovery_pb2.Step(
            number=1,
            kind=recovery_pb2.STEP_KIND_PROMOTE,
            instance=at("r1"),
            state=recovery_pb2.Step.STATE_DONE,
            elapsed=milliseconds(9),
            outcome="takes writes",
        ),
        recovery_pb2.Step(
            number=2,
            kind=recovery_pb2.STEP_KIND_REPOINT,
            instance=at("r3"),
            state=recovery_pb2.Step.STATE_FAILED,
            elapsed=milliseconds(40),
            error="does not answer",
            remaining_statements=["START REPLICA"],
        ),
    ],
    loss=recovery_pb2.Loss(state=recovery_pb2.Loss.STATE_PROVEN_NONE, proof="r1 has all"),
    lost_replicas=[at("r3")],
    start_time=ago(1),
    end_time=ago(0.5),
    epoch=2,
    node="node1",
    fencing_token=41,
    phases=[recovery_pb2.PhaseTiming(phase="confirm", elapsed=milliseconds(40))],
)


def test_finding_says_what_where_since_when_and_why() -> None:
    assert (
        text(findings_lines([DEAD], timedelta(seconds=1), NOW))
        == """
DeadMaster p:3306 for 2.00 s  cluster orders  a recovery exists
  The primary does not answer and no replica hears from it.
  3 replicas, 3 answer, 0 replicate, 3 cannot connect, 1 lagging"""
    )


@pytest.mark.parametrize(
    ("staleness", "words"),
    [
        pytest.param(timedelta(seconds=1), "nothing is wrong", id="fresh"),
        pytest.param(timedelta(minutes=5), "the newest evidence is 5m00s old", id="old"),
        pytest.param(None, "how old the evidence is, is not known", id="unknown"),
    ],
)
def test_no_findings_on_old_evidence_prove_little(staleness: timedelta | None, words: str) -> None:
    *_, last = findings_lines([], staleness, NOW)

    assert plain(last).startswith(words)


def test_plan_shows_candidates_statements_and_loss() -> None:
    assert (
        text(plan_lines(PLAN))
        == """
if p:3306 were dead: promote r1:3306  (nothing was changed)
candidates
  1  r1:3306  chosen    received most
  2  r2:3306  eligible  received less  lacks u:7-9
  -  r3:3306  refused   NO_BINLOG: its binary log is off
steps
   1 choose
   2 promote   r1:3306
       STOP REPLICA;
       SET GLOBAL super_read_only = OFF;
loss bounded u:10: seen on p
lost replicas r3:3306"""
    )


def test_plan_without_a_successor_says_so() -> None:
    (head, *_) = plan_lines(recovery_pb2.FailoverPlan(failed=at("p")))

    assert plain(head) == "if p:3306 were dead: nobody may be promoted  (nothing was changed)"


def test_loss_that_was_not_stated_is_not_none() -> None:
    assert plain(loss_line(recovery_pb2.Loss())) == "loss not stated"


def test_recovery_shows_what_came_of_each_step_and_what_remains() -> None:
    assert (
        text(recovery_lines(RECOVERY))
        == """
recovery 7d0c succeeded-with-losses: p:3306 -> r1:3306
  DeadMaster, cluster orders, by automatic, on node1
  fencing token 41, epoch 2, started 2026-01-31 11:59:59.000Z, took 500 ms
steps
   1 promote  done      9 ms  r1:3306  takes writes
   2 repoint  failed   40 ms  r3:3306  does not answer
       remains: START REPLICA;
loss none, proven: r1 has all
lost replicas r3:3306
time confirm 40 ms"""
    )


def test_recoveries_are_one_line_each() -> None:
    running = recovery_pb2.Recovery(
        recovery_id="8e1d",
        failed=at("p"),
        state=recovery_pb2.Recovery.STATE_RUNNING,
        start_time=ago(0),
        cluster_id="id",
    )

    assert (
        text(recoveries_lines([running, RECOVERY]))
        == """
2026-01-31 12:00:00.000Z  running                p:3306 -> ?        ...     id      8e1d
2026-01-31 11:59:59.000Z  succeeded-with-losses  p:3306 -> r1:3306  500 ms  orders  7d0c"""
    )


def test_primaries_show_epoch_and_origin() -> None:
    primaries = [
        consensus_pb2.Primary(alias="a", endpoint=at("p"), epoch=1, publish_time=ago(0)),
        consensus_pb2.Primary(
            cluster_id="id",
            endpoint=at("r1"),
            epoch=2,
            recovery_id="7d0c",
            former=[consensus_pb2.FormerPrimary(endpoint=at("p"))],
        ),
    ]

    assert (
        text(primaries_lines(primaries))
        == """
a   p:3306   epoch 1  2026-01-31 12:00:00.000Z  found as it is
id  r1:3306  epoch 2  -                         recovery 7d0c, formerly p:3306"""
    )


SERVING = dict.fromkeys(("discovery", "analysis", "recovery", "consensus"), "serving")
LEADER = consensus_pb2.Member(member_id=1, name="node1")


def group(number: int, role: consensus_pb2.Role.ValueType, **fields: object) -> consensus_pb2.GetStatusResponse:
    """Return the status of a healthy member."""
    status = consensus_pb2.GetStatusResponse(
        member=consensus_pb2.Member(member_id=number, name=f"node{number}"),
        role=role,
        term=4,
        leader=LEADER,
        commit_index=90,
        applied_index=90,
        quorum_have=2,
        quorum_need=2,
        state_digest="aa",
    )
    status.MergeFrom(consensus_pb2.GetStatusResponse(**fields))  # type: ignore[arg-type]
    return status


def test_status_is_a_line_a_node_then_what_is_wrong() -> None:
    nodes = [
        NodeStatus("h:1", group(1, consensus_pb2.ROLE_LEADER, leader_lease_valid_for=milliseconds(900)), "", SERVING),
        NodeStatus("h:2", group(2, consensus_pb2.ROLE_FOLLOWER), "", {**SERVING, "analysis": "not serving"}),
        NodeStatus("h:3", None, "consensus at h:3: does not answer", {"discovery": "unreachable"}),
    ]
    blocked = [
        recovery_pb2.BlockedFinding(
            instance=at("p"),
            orchestrator_code="DeadMaster",
            blocker=recovery_pb2.BLOCKER_POLICY,
            reason="policy is observe; set it to act",
            since_time=ago(60),
        )
    ]

    assert (
        text(status_lines(nodes, blocked, NOW))
        == """
node1  h:1          leads          term 4  lease 900 ms  quorum 2/2  log 90/90  all serving
node2  h:2          follows node1  term 4  -             quorum 2/2  log 90/90  analysis not serving
h:3    unreachable  consensus at h:3: does not answer  discovery unreachable
DeadMaster p:3306 is not acted on for 1m00s: POLICY
  policy is observe; set it to act"""
    )


def test_group_without_a_leader_is_not_healthy() -> None:
    status = group(2, consensus_pb2.ROLE_FOLLOWER, blockers=[consensus_pb2.BLOCKER_NO_QUORUM], quorum_have=0)
    status.ClearField("leader")
    node = NodeStatus("h:2", status, "", SERVING)

    shown = text(status_lines([node], [], NOW))

    assert not node.healthy
    assert "no leader" in shown
    assert "NO_QUORUM on h:2: no majority of the voters is in contact" in shown


def test_unknown_blockers_are_said_to_be_unknown() -> None:
    assert "not known" in text(status_lines([], None, NOW))


def test_members_that_applied_the_same_must_hold_the_same() -> None:
    same = [NodeStatus("a", group(1, consensus_pb2.ROLE_LEADER), "", SERVING)] * 2
    other = NodeStatus("b", group(2, consensus_pb2.ROLE_FOLLOWER, state_digest="bb"), "", SERVING)
    behind = NodeStatus("c", group(3, consensus_pb2.ROLE_FOLLOWER, applied_index=80, state_digest="cc"), "", SERVING)

    assert differing_states([*same, behind]) == []
    assert differing_states([*same, other]) == ["at log index 90: node1, node1 against node2"]


def test_explanation_is_a_tree_of_rules_and_conditions() -> None:
    explanation = analysis_pb2.Explanation(
        instance=at("p"),
        finding=DEAD,
        rules=[
            analysis_pb2.RuleTrace(
                number=1,
                kind=analysis_pb2.FINDING_KIND_DEAD_PRIMARY_WITHOUT_REPLICAS,
                conditions=[analysis_pb2.ConditionTrace(text="it has no replicas", seen="3 replicas")],
            ),
            analysis_pb2.RuleTrace(
                number=2,
                kind=analysis_pb2.FINDING_KIND_DEAD_PRIMARY,
                conditions=[analysis_pb2.ConditionTrace(text="no replica replicates", seen="0 of 3", holds=True)],
                holds=True,
                decides=True,
            ),
        ],
    )

    assert (
        text(explain_lines([explanation], [], NOW))
        == """
p:3306: DeadMaster
  The primary does not answer and no replica hears from it.
  3 replicas, 3 answer, 0 replicate, 3 cannot connect, 1 lagging
   1 dead-primary-without-replicas: does not hold
       - it has no replicas: 3 replicas
   2 dead-primary: decides
       + no replica replicates: 0 of 3
nothing stands in the way of recoveries"""
    )


def test_explanation_of_a_healthy_instance_has_no_alarm() -> None:
    healthy = analysis_pb2.Explanation(
        instance=at("p"), finding=analysis_pb2.Finding(kind=analysis_pb2.FINDING_KIND_NO_PROBLEM)
    )

    assert text(explain_lines([healthy], [], NOW)).splitlines()[1] == "p:3306: no problem"


def test_a_weakness_is_told_with_what_mends_it() -> None:
    advice = analysis_pb2.Advice(
        kind=analysis_pb2.ADVICE_KIND_SEEN_TWICE, cluster_id="id", instance=at("p"), seen="as r has", remedy="forget it"
    )
    assert text(advice_lines([advice])) == "\nseen-twice p:3306  cluster id\n  as r has\n  mend it: forget it"
    assert text(advice_lines([])) == "\nnothing to advise"


def test_changes_are_told_with_how_long_the_finding_before_held() -> None:
    change = analysis_pb2.FindingChange(
        instance=at("p"),
        orchestrator_before="NoProblem",
        orchestrator_after="DeadMaster",
        change_time=ago(0),
        lasted=milliseconds(4200),
    )
    assert text(changes_lines([change])).endswith("  p:3306  NoProblem -> DeadMaster  after 4.20 s")
    assert text(changes_lines([])) == "\nno change since analysis was started"


def test_a_finding_of_warnings_alone_has_their_names_and_its_marks() -> None:
    finding = analysis_pb2.Finding(
        instance=at("p"),
        kind=analysis_pb2.FINDING_KIND_NO_PROBLEM,
        orchestrator_code="NoProblem",
        orchestrator_warnings=["NoLoggingReplicasStructureWarning"],
        structure_warnings=[analysis_pb2.STRUCTURE_WARNING_NO_LOGGING_REPLICAS],
        replicas_downtimed=True,
        graced=True,
    )
    head = text(findings_lines([finding], timedelta(seconds=1), NOW)).splitlines()[1]
    assert head.startswith("NoLoggingReplicasStructureWarning p:3306")
    assert "all replicas in downtime" in head
    assert "in grace" in head


def test_an_explanation_shows_warnings_that_hold_and_gates_that_are_closed() -> None:
    explanation = analysis_pb2.Explanation(
        instance=at("p"),
        finding=analysis_pb2.Finding(kind=analysis_pb2.FINDING_KIND_NO_PROBLEM),
        warnings=[
            analysis_pb2.WarningTrace(
                number=1,
                warning=analysis_pb2.STRUCTURE_WARNING_NO_LOGGING_REPLICAS,
                conditions=[analysis_pb2.ConditionTrace(text="none logs", seen="0 of 3", holds=True)],
                holds=True,
            ),
            analysis_pb2.WarningTrace(number=2, warning=analysis_pb2.STRUCTURE_WARNING_NO_FAILOVER_SUPPORT),
        ],
        gates=[
            analysis_pb2.GateTrace(name="downtime", closed=True, seen="it is in downtime", opens="its end"),
            analysis_pb2.GateTrace(name="grace", seen="nothing was restarted"),
        ],
    )
    assert text(explain_lines([explanation], [], NOW)).splitlines()[3:-1] == [
        "  W1 no-logging-replicas: holds",
        "       + none logs: 0 of 3",
        "  W2 no-failover-support: does not hold",
        "  gate downtime: closed, it is in downtime; what opens it: its end",
        "  gate grace: open, nothing was restarted",
    ]

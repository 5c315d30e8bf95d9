"""JSON is for programs: names and presence never depend on the values."""

from __future__ import annotations

import json

from google.protobuf.duration_pb2 import Duration
from primacy.consensus.v1 import consensus_pb2
from primacy.recovery.v1 import recovery_pb2
from primacy.topology.v1 import topology_pb2

from services.ctl.output import json_line

GOLDEN_PRIMARY = (
    '{"cluster_id": "c", "alias": "", "endpoint": {"host": "p", "port": 3306}, "server_uuid": "", '
    '"epoch": "7", "recovery_id": "", "former": []}'
)


def test_names_are_those_of_the_proto_and_defaults_are_there() -> None:
    primary = consensus_pb2.Primary(cluster_id="c", endpoint=topology_pb2.Endpoint(host="p", port=3306), epoch=7)

    assert json.loads(json_line(primary)) == json.loads(GOLDEN_PRIMARY)


def test_unknown_is_absent_and_zero_is_not() -> None:
    unknown = json.loads(json_line(topology_pb2.ReplicationChannel()))
    zero = json.loads(json_line(topology_pb2.ReplicationChannel(lag=Duration())))

    assert "lag" not in unknown
    assert zero["lag"] == "0s"


def test_same_value_is_the_same_text_on_one_line() -> None:
    plan = recovery_pb2.FailoverPlan(cluster_id="a\nb", candidates=[recovery_pb2.PromotionCandidate(rank=1)])

    assert json_line(plan) == json_line(recovery_pb2.FailoverPlan.FromString(plan.SerializeToString()))
    assert "\n" not in json_line(plan)


def test_messages_may_sit_inside_mappings_and_lists() -> None:
    value = {"nodes": [{"group": consensus_pb2.Member(name="n1")}], "count": 1, "error": None}

    parsed = json.loads(json_line(value))

    assert parsed["nodes"][0]["group"]["name"] == "n1"
    assert parsed["count"] == 1
    assert parsed["error"] is None


def test_enum_values_are_names() -> None:
    plan = recovery_pb2.Step(kind=recovery_pb2.STEP_KIND_PROMOTE, state=recovery_pb2.Step.STATE_DONE)

    assert json.loads(json_line(plan))["kind"] == "STEP_KIND_PROMOTE"
    assert json.loads(json_line(plan))["state"] == "STATE_DONE"

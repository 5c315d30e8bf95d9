"""Snapshot files: what is written is read again, and what is wrong is named with its field and line."""

from __future__ import annotations

import json

import pytest
from google.protobuf import json_format
from primacy.topology.v1 import topology_pb2 as pb

from services.ctl.output import json_line
from services.shared.topology.convert.snapshot import snapshot_to_proto
from services.shared.topology.json_lines import places
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot_file import SnapshotFileError, read_snapshot
from tests.support.recovery.topologies import mariadb_replica, primary, replica, snapshot


def test_what_the_command_line_writes_is_read_again() -> None:
    taken = snapshot(primary(), replica("a"), mariadb_replica("b"))
    assert read_snapshot(json_line(snapshot_to_proto(taken))).snapshot == taken


@pytest.mark.parametrize("original_names", [True, False])
def test_names_are_those_of_the_proto_or_in_camel_case(original_names: bool) -> None:
    message = snapshot_to_proto(snapshot(primary(), replica("a")))
    text = json_format.MessageToJson(message, preserving_proto_field_name=original_names, indent=1)
    assert snapshot_to_proto(read_snapshot(text).snapshot) == message


def test_port_that_is_not_said_is_the_usual_one() -> None:
    text = '{"instances": [{"endpoint": {"host": "a"}, "channels": [{"source": {"host": "p"}}]}]}'
    a = read_snapshot(text).snapshot.instances[InstanceKey("a", 3306)]
    assert a.sources == (InstanceKey("p", 3306),)


def test_further_member_is_read_as_its_message() -> None:
    read = read_snapshot('{"instances": [],\n"more": {"host": "x"}}', {"more": pb.Endpoint, "absent": pb.Endpoint})
    assert read.more == {"more": pb.Endpoint(host="x")}
    assert str(read.error(("more", "host"), "is wrong")) == "line 2: more.host: is wrong"


def instance(rest: str) -> str:
    return f'{{"instances": [\n{{"endpoint": {{"host": "a"}},\n{rest}}}]}}'


A = "instances[0]"
WRONG = [
    pytest.param("", "", 1, "not JSON", id="empty"),
    pytest.param('{"instances":\n[,]}', "", 2, "not JSON", id="no json"),
    pytest.param("[]", "", 1, "one JSON object", id="a list"),
    pytest.param("[" * 100_000, "", 1, "nested too deeply", id="deep"),
    pytest.param('{"instances": 3}', "instances", 1, "expected a list", id="no list"),
    pytest.param('{"instances": [\n3]}', A, 2, "expected an object", id="no object"),
    pytest.param('{\n"policy": {}}', "policy", 2, "no such field", id="unknown member"),
    pytest.param(instance('"foo": 1'), f"{A}.foo", 3, "has no such field", id="unknown field"),
    pytest.param(instance('"log_bin": "yes"'), f"{A}.log_bin", 3, "true or false", id="boolean"),
    pytest.param(instance('"version": 8.4'), f"{A}.version", 3, "a string", id="string"),
    pytest.param(instance('"server_id": -1'), f"{A}.server_id", 3, "a number", id="number"),
    pytest.param(instance('"uptime": 5'), f"{A}.uptime", 3, '"1.5s"', id="duration"),
    pytest.param(instance('"reading": {"last_seen_time":\n"now"}'), f"{A}.reading.last_seen_time", 3, "Z", id="time"),
    pytest.param(instance('"promotion_rule": "BEST"'), f"{A}.promotion_rule", 3, "PROMOTION_RULE_MUST_NOT", id="enum"),
    pytest.param(
        instance('"channels": [{},\n{"source": {"host": "p",\n"port": "x"}}]'),
        f"{A}.channels[1].source.port",
        5,
        "a number",
        id="nested",
    ),
    pytest.param('{"instances": [\n{"version": "8.4.0"}]}', f"{A}.endpoint.host", 2, "is required", id="no endpoint"),
    pytest.param(
        '{"instances": [{"endpoint":\n{"host": "a", "port": 70000}}]}', f"{A}.endpoint.port", 2, "70000", id="port"
    ),
    pytest.param(
        '{"instances": [{"endpoint": {"host": "a"}},\n{"endpoint": {"host": "a", "port": 3306}}]}',
        "instances[1].endpoint",
        2,
        "instances[0] already",
        id="twice",
    ),
    pytest.param(instance('"version": "1",\n"version": "2"'), "version", 4, "second time", id="repeated name"),
    pytest.param(
        instance('"flavor": "FLAVOR_MYSQL",\n"executed_gtid_set": "0-1-2"'),
        f"{A}.executed_gtid_set",
        4,
        "GTID set of mysql",
        id="gtid set",
    ),
    pytest.param(
        instance('"flavor": "FLAVOR_MARIADB", "channels": [{"source": {"host": "p"},\n"receivedGtidSet": "x"}]'),
        f"{A}.channels[0].received_gtid_set",
        4,
        "GTID set of mariadb",
        id="received set",
    ),
]


@pytest.mark.parametrize(("text", "field", "line", "problem"), WRONG)
def test_what_is_wrong_is_named_with_field_and_line(text: str, field: str, line: int, problem: str) -> None:
    with pytest.raises(SnapshotFileError) as told:
        read_snapshot(text)
    assert (told.value.field, told.value.line) == (field, line)
    assert problem in str(told.value)


def test_every_value_has_its_line() -> None:
    text = json.dumps({"a": [{"b": 'x"}\n'}, [1, 2]], "c": {}, "d": {"e": None}}, indent=1)
    assert dict(places(text)) == {
        (): 1, ("a",): 2, ("a", 0): 3, ("a", 0, "b"): 4, ("a", 1): 6, ("a", 1, 0): 7, ("a", 1, 1): 8,
        ("c",): 11, ("d",): 12, ("d", "e"): 13,
    }  # fmt: skip


@pytest.mark.parametrize("source", ["null", "{}", '{"host": ""}', '{"host": "_"}', '{"host": "//db1", "port": 3306}'])
def test_channel_without_a_source_leads_nowhere(source: str) -> None:
    """Reset, or detached: such an instance replicates from nobody."""
    read = read_snapshot(instance(f'"channels": [{{"source": {source}}}, {{"source": {{"host": "p"}}}}]'))
    (found,) = read.snapshot.instances.values()
    assert [channel.source.host for channel in found.channels] == ["p"]

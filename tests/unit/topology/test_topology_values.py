"""Topology values: keys parse or are refused, positions order by number, and messages lose nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from primacy.topology.v1 import topology_pb2 as pb

from services.shared.runtime.errors import InvalidField
from services.shared.topology import convert
from services.shared.topology.instance import (
    BinlogPosition,
    Cluster,
    Downtime,
    Flavor,
    Instance,
    InstanceKey,
    Problem,
    PromotionRule,
    Reading,
    ReplicationChannel,
    SemiSync,
    ThreadState,
    TopologySnapshot,
)

KEY = InstanceKey("db1", 3306)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("db1", InstanceKey("db1", 3306), id="port defaults to 3306"),
        pytest.param("db1:33", InstanceKey("db1", 33), id="host and port"),
        pytest.param("[::1]:33", InstanceKey("::1", 33), id="ipv6 with port"),
        pytest.param("[fe80::1]", InstanceKey("fe80::1", 3306), id="ipv6 in brackets"),
        pytest.param("fe80::1", InstanceKey("fe80::1", 3306), id="ipv6 alone"),
    ],
)
def test_key_is_parsed(text: str, expected: InstanceKey) -> None:
    assert InstanceKey.parse(text) == expected


@pytest.mark.parametrize("text", ["", ":1", "db1:", "db1:0", "db1:65536", "db1:x", "a b:1", "//db1:1", "db1:١"])
def test_key_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|no port"):
        InstanceKey.parse(text)


@given(st.integers(1, 65535), st.sampled_from(["db1", "10.0.0.1", "::1", "fe80::1"]))
def test_key_survives_its_own_text(port: int, host: str) -> None:
    key = InstanceKey(host, port)
    assert InstanceKey.parse(str(key)) == key


@pytest.mark.parametrize(
    ("endpoint", "field"),
    [
        pytest.param(pb.Endpoint(port=1), "failed.host", id="no host"),
        pytest.param(pb.Endpoint(host="a b"), "failed.host", id="white space"),
        pytest.param(pb.Endpoint(host="x" * 256), "failed.host", id="too long"),
        pytest.param(pb.Endpoint(host="a", port=65536), "failed.port", id="port out of range"),
    ],
)
def test_malformed_endpoint_names_its_field(endpoint: pb.Endpoint, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        convert.key_from_request(endpoint, "failed")
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        pytest.param(BinlogPosition("b.1000000", 4), BinlogPosition("b.999999", 9), id="number, not text"),
        pytest.param(BinlogPosition("b.000002", 4), BinlogPosition("b.000001", 900), id="file before offset"),
        pytest.param(BinlogPosition("b.000001", 5), BinlogPosition("b.000001", 4), id="offset"),
    ],
)
def test_positions_order_by_file_number_then_offset(later: BinlogPosition, earlier: BinlogPosition) -> None:
    assert later.follows(earlier)
    assert not earlier.follows(later)
    assert not later.follows(later)


def test_never_read_instance_has_no_successful_reading() -> None:
    assert not Reading().succeeded


def test_detached_source_is_nobodys() -> None:
    instance = Instance(KEY, channels=(ReplicationChannel(InstanceKey("//db0", 3306)),))
    assert instance.sources == ()


def test_primary_does_not_replicate() -> None:
    assert not Instance(KEY).replicating


def test_version_that_is_no_number_is_unknown() -> None:
    assert Instance(KEY, version="unknown-1").version_numbers == ()
    assert Instance(KEY, version="10.11.14-MariaDB-log").version_numbers == (10, 11)


NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
FULL = Instance(
    KEY,
    server_uuid="9d4d5c1e-0000-0000-0000-000000000001",
    server_id=7,
    flavor=Flavor.MARIADB,
    version="10.11.14-MariaDB",
    version_comment="Debian",
    hostname="db1.example",
    cluster_id="c",
    read_only=False,
    super_read_only=True,
    log_bin=True,
    log_replica_updates=False,
    binlog_format="ROW",
    binlog_position=BinlogPosition("b.000001", 4),
    gtid_mode="ON",
    executed_gtid_set="0-1-5",
    purged_gtid_set="0-1-2",
    binlog_gtid_position="0-1-5",
    errant_gtid_set="0-2-6",
    channels=(
        ReplicationChannel(
            InstanceKey("db0", 3306),
            name="west",
            source_uuid="u",
            io_state=ThreadState.CONNECTING,
            sql_state=ThreadState.ON,
            io_errno=2003,
            io_error="error connecting",
            sql_errno=1062,
            sql_error="duplicate",
            lag=timedelta(seconds=3),
            sql_delay=timedelta(seconds=5),
            gtid_positioning=True,
            using_gtid="Slave_Pos",
            received_gtid_set="0-1-6",
            read_position=BinlogPosition("b.000002", 8),
            executed_position=BinlogPosition("b.000002", 4),
            last_heartbeat_time=NOW,
            heartbeat_period=timedelta(seconds=1),
            tls=True,
        ),
    ),
    semi_sync=SemiSync(True, False, 1, 0, timedelta(seconds=10), False, True),
    reported_replicas=(InstanceKey("db2", 3306),),
    data_center="east",
    region="eu",
    environment="prod",
    alias="one",
    promotion_rule=PromotionRule.MUST_NOT,
    depth=1,
    co_primary=True,
    uptime=timedelta(hours=3),
    reading=Reading(NOW, NOW, NOW, True, True, timedelta(milliseconds=2), 2003, "refused"),
    problems=(Problem.ERRANT_GTID, Problem.SEEN_TWICE),
    downtime=Downtime("me", "upgrade", NOW),
)


@pytest.mark.parametrize("instance", [pytest.param(FULL, id="full"), pytest.param(Instance(KEY), id="never read")])
def test_instance_survives_its_message(instance: Instance) -> None:
    message = pb.Instance.FromString(convert.instance_to_proto(instance).SerializeToString())
    assert convert.instance_from_proto(message) == instance


def test_full_example_sets_every_field() -> None:
    message = convert.instance_to_proto(FULL)
    unset = {field.name for field in message.DESCRIPTOR.fields} - {field.name for field, _ in message.ListFields()}
    assert unset == set()


def test_snapshot_survives_its_message() -> None:
    cluster = Cluster("c", "shop", KEY, 1, 1, 4)
    snapshot = TopologySnapshot(9, NOW, {"c": cluster}, {KEY: FULL})
    message = pb.TopologySnapshot.FromString(convert.snapshot_to_proto(snapshot).SerializeToString())
    assert convert.snapshot_from_proto(message) == snapshot


def test_direct_replicas_are_those_that_say_so() -> None:
    replica = Instance(InstanceKey("db2", 3306), channels=(ReplicationChannel(KEY),))
    other = Instance(InstanceKey("db3", 3306), channels=(ReplicationChannel(replica.key),))
    snapshot = TopologySnapshot(instances={i.key: i for i in (other, replica, Instance(KEY))})
    assert snapshot.direct_replicas(KEY) == (replica,)

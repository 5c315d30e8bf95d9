"""Topology values: keys parse or are refused, positions order by number, and messages lose nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from primacy.topology.v1 import topology_pb2 as pb

from services.shared.runtime.errors import InvalidField
from services.shared.topology.channel import (
    ApplierWorker,
    ChannelSettings,
    ReplicationChannel,
    ReplicationFilters,
    ThreadState,
    TlsProfile,
)
from services.shared.topology.convert.instance import instance_from_proto, instance_to_proto
from services.shared.topology.convert.key import key_from_proto, key_from_request
from services.shared.topology.convert.snapshot import cluster_to_proto, snapshot_from_proto, snapshot_to_proto
from services.shared.topology.grey import GreyState, WriteProbeState
from services.shared.topology.group import GroupMember, GroupMemberRole, GroupMemberState, GroupState
from services.shared.topology.instance import Instance, Problem, ReportedReplica
from services.shared.topology.key import InstanceKey
from services.shared.topology.operators import Downtime, Maintenance, PromotionRule, Tag
from services.shared.topology.position import BinlogPosition
from services.shared.topology.reading import FailureKind, Reading, ReadingGap
from services.shared.topology.server import Flavor, MariadbGtidState, SemiSync, ServerSettings
from services.shared.topology.snapshot import Cluster, TopologySnapshot
from services.shared.topology.suspicion import Evidence, EvidenceKind, Suspicion, SuspicionCause

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


@pytest.mark.parametrize("text", ["", ".", ":1", "db1:", "db1:0", "db1:65536", "db1:x", "a b:1", "//db1:1", "db1:١"])
def test_key_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|no port"):
        InstanceKey.parse(text)


@pytest.mark.parametrize(
    "text", [pytest.param("DB1.Example:33", id="upper case"), pytest.param("db1.example.:33", id="final dot")]
)
def test_every_spelling_of_a_host_is_one_key(text: str) -> None:
    key = InstanceKey("db1.example", 33)
    host = text.partition(":")[0]
    assert InstanceKey.parse(text) == key
    assert key_from_request(pb.Endpoint(host=host, port=33), "failed") == key
    assert key_from_proto(pb.Endpoint(host=host, port=33)) == key


@given(st.integers(1, 65535), st.sampled_from(["db1", "10.0.0.1", "::1", "fe80::1"]))
def test_key_survives_its_own_text(port: int, host: str) -> None:
    key = InstanceKey(host, port)
    assert InstanceKey.parse(str(key)) == key


@pytest.mark.parametrize(
    ("endpoint", "field"),
    [
        pytest.param(pb.Endpoint(port=1), "failed.host", id="no host"),
        pytest.param(pb.Endpoint(host="a b"), "failed.host", id="white space"),
        pytest.param(pb.Endpoint(host="."), "failed.host", id="nothing but the final dot"),
        pytest.param(pb.Endpoint(host="x" * 256), "failed.host", id="too long"),
        pytest.param(pb.Endpoint(host="a", port=65536), "failed.port", id="port out of range"),
    ],
)
def test_malformed_endpoint_names_its_field(endpoint: pb.Endpoint, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        key_from_request(endpoint, "failed")
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
            settings=ChannelSettings(
                user="repl",
                connect_retry=timedelta(seconds=60),
                retry_count=0,
                tls_profile=TlsProfile("ca", "cas", "cert", "key", "AES", "crl", "crls", "TLSv1.3", "", True),
                compression_algorithms="zstd",
                zstd_level=3,
                filters=ReplicationFilters(
                    ("a",), ("b",), ("a.t",), ("b.t",), ("a.%",), ("b.%",), ("a->b",), (1,), (2,), (3, 4)
                ),
                bind="10.0.0.1",
                network_namespace="ns",
                public_key_path="pub",
                get_public_key=False,
                privilege_checks_user="applier",
                require_row_format=False,
                require_primary_key_check="STREAM",
                gtid_only=False,
                source_auto_failover=False,
                assign_gtids="LOCAL",
                parallel_mode="optimistic",
            ),
            heartbeat_age=timedelta(milliseconds=400),
            received_heartbeat_count=0,
            query_lag=timedelta(),
            remaining_delay=timedelta(seconds=4),
            failed_workers=(ApplierWorker(2, 1062, "duplicate"),),
            applied_age=timedelta(seconds=9),
        ),
    ),
    semi_sync=SemiSync(True, False, 1, 0, timedelta(seconds=10), False, True, 0, NOW, "AFTER_SYNC", 0),
    reported_replicas=(InstanceKey("db2", 3306),),
    data_center="east",
    region="eu",
    environment="prod",
    alias="one",
    promotion_rule=PromotionRule.MUST_NOT,
    depth=1,
    co_primary=True,
    uptime=timedelta(hours=3),
    reading=Reading(
        NOW,
        NOW,
        NOW,
        True,
        True,
        timedelta(milliseconds=2),
        2003,
        "refused",
        FailureKind.UNREACHABLE,
        timedelta(),
        True,
        (ReadingGap("replicas", 1227, "denied", "GRANT REPLICATION SLAVE ON *.* TO primacy"),),
    ),
    problems=(Problem.ERRANT_GTID, Problem.SEEN_TWICE),
    downtime=Downtime("me", "upgrade", NOW),
    group=GroupState(
        "g",
        False,
        GroupMemberState.RECOVERING,
        GroupMemberRole.SECONDARY,
        "17:3",
        (GroupMember(KEY, "u", GroupMemberState.ONLINE, GroupMemberRole.PRIMARY, "9.7.0"),),
    ),
    mariadb_gtid_state=MariadbGtidState("0-1-4", "0-1-5"),
    settings=ServerSettings(
        "FULL",
        0,
        0,
        timedelta(),
        False,
        False,
        "db1.example",
        0,
        3306,
        timedelta(seconds=60),
        0,
        False,
        0,
        False,
        "ON",
    ),
    connection_count=0,
    gtid_read_time=NOW,
    binlog_position_time=NOW,
    errant_gtid_unknown_reason="its source was not read",
    replica_reports=(ReportedReplica(InstanceKey("db2", 3306), "u", 8, guessed=True),),
    other_cluster_ids=("d",),
    other_endpoints=(InstanceKey("db9", 3306),),
    addresses=("10.0.0.1", "fe80::1"),
    first_seen_time=NOW,
    tags=(Tag("owner", "shop"), Tag("bare")),
    pools=("reads",),
    maintenance=Maintenance("me", "disk", NOW),
    suspicion=Suspicion(
        NOW,
        NOW,
        SuspicionCause.SLOW,
        (
            Evidence(None, EvidenceKind.TIMED_OUT, NOW, 110, timedelta()),
            Evidence(InstanceKey("db2", 3306), EvidenceKind.RECEIVES, NOW),
        ),
    ),
    grey=GreyState(
        WriteProbeState.BLOCKED,
        1021,
        NOW,
        timedelta(milliseconds=1),
        timedelta(milliseconds=2),
        timedelta(milliseconds=3),
        False,
    ),
)
UNREAD = Instance(
    KEY,
    channels=(
        ReplicationChannel(KEY, settings=ChannelSettings(tls_profile=TlsProfile(), filters=ReplicationFilters())),
    ),
    group=GroupState("g", members=(GroupMember(KEY),)),
    mariadb_gtid_state=MariadbGtidState(),
    settings=ServerSettings(),
    replica_reports=(ReportedReplica(KEY),),
    maintenance=Maintenance("", ""),
    suspicion=Suspicion(NOW, evidence=(Evidence(None, EvidenceKind.UNKNOWN, NOW),)),
    grey=GreyState(),
)


@pytest.mark.parametrize(
    "instance",
    [
        pytest.param(FULL, id="full"),
        pytest.param(Instance(KEY), id="never read"),
        pytest.param(UNREAD, id="nothing known below"),
    ],
)
def test_instance_survives_its_message(instance: Instance) -> None:
    message = pb.Instance.FromString(instance_to_proto(instance).SerializeToString())
    assert instance_from_proto(message) == instance


CLUSTER = Cluster("c", "shop", KEY, 1, 1, 4, "shop.example", ("store",), True, "g", 1)


def unset_fields(message: Message) -> set[str]:
    """Every field that is unset in a message and, for all messages below it, in each of its kind."""
    found: dict[str, set[str]] = {}
    waiting = [message]
    while waiting:
        one = waiting.pop()
        name = one.DESCRIPTOR.full_name
        if name.startswith("google."):
            continue
        unset = {field.name for field in one.DESCRIPTOR.fields} - {field.name for field, _ in one.ListFields()}
        found[name] = found.get(name, unset) & unset
        for field, value in one.ListFields():
            if field.message_type is not None:
                waiting.extend(value if field.is_repeated else [value])
    return {f"{name}.{field}" for name, fields in found.items() for field in fields}


def test_full_example_sets_every_field() -> None:
    assert unset_fields(instance_to_proto(FULL)) == set()
    assert unset_fields(cluster_to_proto(CLUSTER)) == set()


@pytest.mark.parametrize(
    ("field", "values"),
    [
        pytest.param("problems", [replace(FULL, problems=(one,)) for one in Problem], id="problem"),
        pytest.param(
            "reading", [replace(FULL, reading=Reading(failure_kind=one)) for one in FailureKind], id="failure"
        ),
        pytest.param("flavor", [replace(FULL, flavor=one) for one in Flavor], id="flavor"),
        pytest.param("promotion_rule", [replace(FULL, promotion_rule=one) for one in PromotionRule], id="rule"),
        pytest.param(
            "channels",
            [replace(FULL, channels=(ReplicationChannel(KEY, io_state=one, sql_state=one),)) for one in ThreadState],
            id="thread",
        ),
        pytest.param(
            "group", [replace(FULL, group=GroupState("g", state=one)) for one in GroupMemberState], id="member"
        ),
        pytest.param("group", [replace(FULL, group=GroupState("g", role=one)) for one in GroupMemberRole], id="role"),
        pytest.param("grey", [replace(FULL, grey=GreyState(one)) for one in WriteProbeState], id="write probe"),
        pytest.param(
            "suspicion", [replace(FULL, suspicion=Suspicion(NOW, None, one)) for one in SuspicionCause], id="cause"
        ),
        pytest.param(
            "suspicion",
            [replace(FULL, suspicion=Suspicion(NOW, evidence=(Evidence(None, one, NOW),))) for one in EvidenceKind],
            id="evidence",
        ),
    ],
)
def test_every_word_of_an_enum_survives_its_message(field: str, values: list[Instance]) -> None:
    messages = [instance_to_proto(value) for value in values]
    assert [getattr(instance_from_proto(message), field) for message in messages] == [
        getattr(value, field) for value in values
    ]


@pytest.mark.parametrize(
    ("enum", "words"),
    [
        pytest.param(pb.Problem, len(Problem), id="problem"),
        pytest.param(pb.FailureKind, len(FailureKind), id="failure"),
        pytest.param(pb.GroupMemberState, len(GroupMemberState) - 1, id="member"),
        pytest.param(pb.GroupMemberRole, len(GroupMemberRole) - 1, id="role"),
        pytest.param(pb.WriteProbeState, len(WriteProbeState) - 1, id="write probe"),
        pytest.param(pb.SuspicionCause, len(SuspicionCause) - 1, id="cause"),
        pytest.param(pb.EvidenceKind, len(EvidenceKind) - 1, id="evidence"),
    ],
)
def test_contract_has_no_word_without_a_value(enum: EnumTypeWrapper, words: int) -> None:
    assert len(enum.keys()) == 1 + words


def test_word_of_a_newer_contract_is_unknown() -> None:
    message = pb.Instance(
        problems=[99],  # type: ignore[list-item]
        reading=pb.Reading(failure_kind=99),  # type: ignore[arg-type]
        group=pb.GroupState(state=99, role=99),  # type: ignore[arg-type]
        grey=pb.GreyState(write_state=99),  # type: ignore[arg-type]
        suspicion=pb.Suspicion(cause=99, evidence=[pb.Evidence(kind=99)]),  # type: ignore[arg-type]
    )
    known = instance_from_proto(message)
    assert known.problems == ()
    assert known.reading.failure_kind is None
    assert known.group is not None
    assert (known.group.state, known.group.role) == (GroupMemberState.UNKNOWN, GroupMemberRole.UNKNOWN)
    assert known.grey is not None
    assert known.grey.write_state is WriteProbeState.UNKNOWN
    assert known.suspicion is not None
    assert known.suspicion.cause is SuspicionCause.UNKNOWN
    assert [evidence.kind for evidence in known.suspicion.evidence] == [EvidenceKind.UNKNOWN]


def test_snapshot_survives_its_message() -> None:
    snapshot = TopologySnapshot(9, NOW, {"c": CLUSTER}, {KEY: FULL})
    message = pb.TopologySnapshot.FromString(snapshot_to_proto(snapshot).SerializeToString())
    assert snapshot_from_proto(message) == snapshot


def test_direct_replicas_are_those_that_say_so() -> None:
    replica = Instance(InstanceKey("db2", 3306), channels=(ReplicationChannel(KEY),))
    other = Instance(InstanceKey("db3", 3306), channels=(ReplicationChannel(replica.key),))
    snapshot = TopologySnapshot(instances={i.key: i for i in (other, replica, Instance(KEY))})
    assert snapshot.direct_replicas(KEY) == (replica,)

"""The registry's tables: what each command writes, refuses and takes away, and what ends by machine time."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from services.consensus.state.commands import Command, PublishPrimary
from services.consensus.state.directory import Primary
from services.consensus.state.registry.cluster_name import ClusterName
from services.consensus.state.registry.commands import (
    BeginDowntime,
    BeginMaintenance,
    DeleteClusterName,
    DeletePool,
    DeletePromotionRule,
    DeleteSetting,
    DeleteTag,
    EndDowntime,
    EndDue,
    EndMaintenance,
    SetClusterName,
    SetPool,
    SetPromotionRule,
    SetSetting,
    SetTag,
)
from services.consensus.state.registry.downtime import MAX_SPAN_MS, Downtime
from services.consensus.state.registry.item_table import ItemTable
from services.consensus.state.registry.maintenance import Maintenance
from services.consensus.state.registry.origin import Written
from services.consensus.state.registry.pool import Pool
from services.consensus.state.registry.promotion_rule import PromotionRule, Rule
from services.consensus.state.registry.registry import MAX_ENDED
from services.consensus.state.registry.setting import Setting
from services.consensus.state.registry.tag import Tag
from services.consensus.state.registry_errors import AliasTaken, Contradiction, ItemUnknown, MaintenanceHeld
from services.consensus.state.rows import DOWNTIMES
from tests.support.machine_script import GRANT, Script, origin

NOW_MS = 1_000_000
DB1 = "instance:db1:3306"
WRITTEN = Written("ops", "because", 1, NOW_MS)


@pytest.fixture
def script() -> Script:
    """A blank machine."""
    return Script()


def downtime(
    request_id: str = "q1", *, begin_ms: int | None = None, end_ms: int | None = None, span_ms: int = 500
) -> BeginDowntime:
    return BeginDowntime(origin(request_id), DB1, begin_ms, end_ms, span_ms)


def maintenance(request_id: str = "q1", *, maintenance_id: int = 0) -> BeginMaintenance:
    return BeginMaintenance(origin(request_id), DB1, 500, maintenance_id)


@pytest.mark.parametrize(
    ("command", "item"),
    [
        pytest.param(downtime(), Downtime(DB1, NOW_MS, NOW_MS + 500, WRITTEN), id="downtime-from-now"),
        pytest.param(
            downtime(begin_ms=NOW_MS + 9), Downtime(DB1, NOW_MS + 9, NOW_MS + 509, WRITTEN), id="downtime-from-then"
        ),
        pytest.param(downtime(end_ms=NOW_MS + 7), Downtime(DB1, NOW_MS, NOW_MS + 7, WRITTEN), id="downtime-until-then"),
        pytest.param(maintenance(), Maintenance(DB1, 1, NOW_MS, NOW_MS + 500, WRITTEN), id="maintenance"),
        pytest.param(
            SetPromotionRule(origin("q1"), "db1:3306", "prefer_not", 60),
            PromotionRule("db1:3306", Rule.PREFER_NOT, NOW_MS + 60, WRITTEN),
            id="rule-for-a-time",
        ),
        pytest.param(
            SetPromotionRule(origin("q1"), "db1:3306", "must_not", None),
            PromotionRule("db1:3306", Rule.MUST_NOT, None, WRITTEN),
            id="rule-for-good",
        ),
        pytest.param(SetTag(origin("q1"), "db1:3306", "rack", ""), Tag("db1:3306", "rack", "", WRITTEN), id="tag"),
        pytest.param(
            SetPool(origin("q1"), "readers", ("b:1", "a:1", "b:1"), None),
            Pool("readers", ("a:1", "b:1"), None, WRITTEN),
            id="pool-sorted-each-once",
        ),
        pytest.param(
            SetClusterName(origin("q1"), "c1", "shop", "shop.example"),
            ClusterName("c1", "shop", "shop.example", WRITTEN),
            id="name",
        ),
        pytest.param(SetSetting(origin("q1"), "team", "dba"), Setting("team", "dba", WRITTEN), id="setting"),
    ],
)
def test_item_says_who_wrote_it_where_and_when(script: Script, command: Command, item: object) -> None:
    assert script.apply(command, stamp_ms=NOW_MS) == item


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        pytest.param(downtime(), EndDowntime(origin("q2"), DB1), id="downtime"),
        pytest.param(maintenance(), EndMaintenance(origin("q2"), DB1, 0), id="maintenance"),
        pytest.param(
            SetPromotionRule(origin("q1"), "db1:3306", "prefer", None),
            DeletePromotionRule(origin("q2"), "db1:3306"),
            id="rule",
        ),
        pytest.param(
            SetTag(origin("q1"), "db1:3306", "rack", "a"), DeleteTag(origin("q2"), "db1:3306", "rack"), id="tag"
        ),
        pytest.param(SetPool(origin("q1"), "readers", (), None), DeletePool(origin("q2"), "readers"), id="pool"),
        pytest.param(SetClusterName(origin("q1"), "c1", "shop", ""), DeleteClusterName(origin("q2"), "c1"), id="name"),
        pytest.param(SetSetting(origin("q1"), "team", "dba"), DeleteSetting(origin("q2"), "team"), id="setting"),
    ],
)
def test_what_is_taken_away_is_told_once_more_and_then_unknown(script: Script, begin: Command, end: Command) -> None:
    item = script.apply(begin, stamp_ms=NOW_MS)
    assert script.apply(end, stamp_ms=NOW_MS) == item
    again = replace(end, origin=origin("q3"))
    assert isinstance(script.apply(again, stamp_ms=NOW_MS), ItemUnknown)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(downtime(end_ms=NOW_MS), id="ends-now"),
        pytest.param(downtime(begin_ms=NOW_MS + 9, end_ms=NOW_MS + 9), id="ends-as-it-begins"),
        pytest.param(downtime(begin_ms=NOW_MS - 900, span_ms=500), id="is-over-already"),
        pytest.param(downtime(end_ms=NOW_MS + MAX_SPAN_MS + 1), id="longer-than-a-year"),
        pytest.param(SetSetting(origin("q1"), "recoveries", "maybe"), id="switch-is-on-or-off"),
    ],
)
def test_values_that_do_not_go_together_are_refused(script: Script, command: Command) -> None:
    assert isinstance(script.apply(command, stamp_ms=NOW_MS), Contradiction)


@pytest.mark.parametrize(
    ("first_ms", "second_ms", "kept"),
    [pytest.param(10, 900, True, id="longer"), pytest.param(900, 10, False, id="shorter")],
)
def test_second_downtime_of_an_instance_replaces_the_first(
    script: Script, first_ms: int, second_ms: int, kept: bool
) -> None:
    script.apply(downtime("q1", span_ms=first_ms), stamp_ms=NOW_MS)
    script.apply(downtime("q2", span_ms=second_ms), stamp_ms=NOW_MS)
    script.apply(EndDue(), stamp_ms=NOW_MS + 10)
    assert (script.machine.registry.downtimes.get(DB1) is not None) is kept
    assert script.machine.registry.due_ms == (NOW_MS + 900 if kept else None)


def test_item_ends_with_the_first_entry_after_its_time(script: Script) -> None:
    script.apply(downtime(span_ms=500), stamp_ms=NOW_MS)
    assert script.machine.registry.due_ms == NOW_MS + 500
    script.apply(None, stamp_ms=0)
    assert script.machine.registry.downtimes.get(DB1) is not None
    script.apply(GRANT, stamp_ms=NOW_MS + 500)
    assert script.machine.registry.downtimes.get(DB1) is None
    assert [change.row for change in script.changes if change.table == DOWNTIMES] == [None]
    assert script.machine.registry.due_ms is None


def test_what_is_due_ends_before_the_command_of_the_same_entry(script: Script) -> None:
    script.apply(SetPool(origin("q1"), "readers", (), 500), stamp_ms=NOW_MS)
    deleted = script.apply(DeletePool(origin("q2"), "readers"), stamp_ms=NOW_MS + 500)
    assert deleted == ItemUnknown("pool", "readers")


def test_one_entry_ends_a_bounded_number_of_items(script: Script) -> None:
    for number in range(MAX_ENDED + 1):
        script.apply(SetPool(origin(f"q{number}"), f"p{number}", (), 500), stamp_ms=NOW_MS)
    script.apply(EndDue(), stamp_ms=NOW_MS + 500)
    assert len(script.machine.registry.pools) == 1
    script.apply(EndDue(), stamp_ms=NOW_MS + 500)
    assert len(script.machine.registry.pools) == 0


def test_maintenance_is_held_by_one_at_a_time(script: Script) -> None:
    held = script.apply(maintenance("q1"), stamp_ms=NOW_MS)
    assert isinstance(held, Maintenance)
    refusal = MaintenanceHeld(DB1, held.maintenance_id, "ops", held.end_ms)
    assert script.apply(maintenance("q2"), stamp_ms=NOW_MS) == refusal
    assert script.apply(EndMaintenance(origin("q3"), DB1, 99), stamp_ms=NOW_MS) == refusal
    prolonged = script.apply(maintenance("q4", maintenance_id=held.maintenance_id), stamp_ms=NOW_MS + 100)
    assert isinstance(prolonged, Maintenance)
    assert (prolonged.maintenance_id, prolonged.begin_ms) == (held.maintenance_id, held.begin_ms)
    assert prolonged.end_ms == held.end_ms + 100


def test_maintenance_that_ended_is_free_and_cannot_be_prolonged(script: Script) -> None:
    held = script.apply(maintenance("q1"), stamp_ms=NOW_MS)
    assert isinstance(held, Maintenance)
    late = script.apply(maintenance("q2", maintenance_id=held.maintenance_id), stamp_ms=held.end_ms)
    assert late == ItemUnknown("maintenance", str(held.maintenance_id))
    assert isinstance(script.apply(maintenance("q3"), stamp_ms=held.end_ms), Maintenance)


def test_maintenance_that_ended_is_free_though_its_row_has_yet_to_go(script: Script) -> None:
    for number in range(MAX_ENDED):
        scope = f"instance:db{number}:1"
        script.apply(BeginDowntime(origin(f"d{number}"), scope, None, None, 500), stamp_ms=NOW_MS)
    held = script.apply(maintenance("q1"), stamp_ms=NOW_MS)
    taken = script.apply(maintenance("q2"), stamp_ms=NOW_MS + 500)
    assert isinstance(held, Maintenance)
    assert isinstance(taken, Maintenance)
    assert taken.maintenance_id > held.maintenance_id


def test_alias_belongs_to_one_cluster_at_a_time(script: Script) -> None:
    script.apply(SetClusterName(origin("q1"), "c1", "shop", ""))
    assert script.apply(SetClusterName(origin("q2"), "c2", "shop", "")) == AliasTaken("shop", "c1")
    assert isinstance(script.apply(SetClusterName(origin("q3"), "c1", "shop", "d")), ClusterName)
    script.apply(DeleteClusterName(origin("q4"), "c1"))
    assert isinstance(script.apply(SetClusterName(origin("q5"), "c2", "shop", "")), ClusterName)


def test_primary_is_found_by_the_alias_its_cluster_was_given(script: Script) -> None:
    script.apply(GRANT)
    script.apply(PublishPrimary("q1", 1, "c1", "found", "db1", 3306, "u", ""))
    script.apply(SetClusterName(origin("q2"), "c1", "shop", ""))
    found = [script.machine.find_primary(name) for name in ("c1", "found", "shop")]
    assert all(isinstance(primary, Primary) and primary.host == "db1" for primary in found)
    assert script.machine.find_primary("sho") is None


def test_full_table_takes_changes_but_nothing_new() -> None:
    full = ItemTable[Setting]("state_setting", (Setting(f"s{n}", "", WRITTEN) for n in range(100_000)))
    changes, refusal = full.write(Setting("new", "", WRITTEN))
    assert changes == ()
    assert "limit" in str(refusal)
    assert full.write(Setting("s1", "x", WRITTEN))[0]

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.mysql.gtid import (
    GtidFormatError,
    MariadbGtidSet,
    MixedGtidFlavors,
    MysqlGtidSet,
    parse_gtid_set,
)
from services.shared.topology.server import Flavor

A = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
B = "4350f323-7565-4e59-8763-4b1b83a0ce0e"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        pytest.param("", "", id="empty"),
        pytest.param(f"{A}:1", f"{A}:1", id="one_transaction"),
        pytest.param(f"{A}:1-5:11:47-49", f"{A}:1-5:11:47-49", id="several_intervals"),
        pytest.param(f"{A.upper()}:1-5", f"{A}:1-5", id="uppercase_uuid"),
        pytest.param(f" {A}:1-5 ,\n{B}:7", f"{A}:1-5,{B}:7", id="space_and_newline"),
        pytest.param(f"{A} : 1 - 5 : 7", f"{A}:1-5:7", id="space_inside"),
        pytest.param(f"{B}:1,{A}:1", f"{A}:1,{B}:1", id="sorted"),
        pytest.param(f"{A}:5-9:1-6", f"{A}:1-9", id="overlapping_intervals"),
        pytest.param(f"{A}:1-2:3-4", f"{A}:1-4", id="adjacent_intervals"),
        pytest.param(f"{A}:1-3,{A}:2-9", f"{A}:1-9", id="repeated_uuid"),
        pytest.param(f",{A}:1,", f"{A}:1", id="empty_parts"),
        pytest.param(f"{A}:Domain_1:1-3", f"{A}:domain_1:1-3", id="tag_of_any_case"),
        pytest.param(f"{A}:x:1-3:15-21:y:8-52", f"{A}:x:1-3:15-21:y:8-52", id="tag_covers_what_follows"),
        pytest.param(f"{A}:1-5:x:1", f"{A}:1-5:x:1", id="untagged_before_tag"),
        pytest.param(f"{A}:x:1,{A}:1-5", f"{A}:1-5:x:1", id="next_uuid_ends_the_tag"),
        pytest.param(f"{A}:y:1:x:2", f"{A}:x:2:y:1", id="tags_sorted"),
        pytest.param(f"{A}:x:1:x:2", f"{A}:x:1-2", id="repeated_tag"),
        pytest.param(f"{A}:1-9223372036854775806", f"{A}:1-9223372036854775806", id="largest_number"),
    ],
)
def test_mysql_set_is_read_and_written(text: str, canonical: str) -> None:
    assert str(MysqlGtidSet.parse(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("0-1-100", id="mariadb_position"),
        pytest.param(A, id="uuid_alone"),
        pytest.param(f"{A}:", id="nothing_after_colon"),
        pytest.param(f"{A}:0", id="zero"),
        pytest.param(f"{A}:0-5", id="from_zero"),
        pytest.param(f"{A}:5-3", id="reversed"),
        pytest.param(f"{A}:-3", id="no_start"),
        pytest.param(f"{A}:3-", id="no_end"),
        pytest.param(f"{A}:1-2-3", id="three_numbers"),
        pytest.param(f"{A}:9223372036854775807", id="too_large"),
        pytest.param(f"{A}:x", id="tag_alone"),
        pytest.param(f"{A}:x:1:y", id="tag_at_the_end"),
        pytest.param(f"{A}:x:y:1", id="two_tags_at_once"),
        pytest.param(f"{A}:1x:1", id="tag_begins_with_digit"),
        pytest.param(f"{A}:{'t' * 33}:1", id="tag_too_long"),
        pytest.param(f"{A[:-1]}:1", id="short_uuid"),
        pytest.param(f"{A.replace('-', '')}:1", id="uuid_without_dashes"),
        pytest.param(f"{A}:1;{B}:1", id="other_separator"),
        pytest.param(f"{A}:٣", id="other_digits"),
    ],
)
def test_unknown_mysql_form_is_refused(text: str) -> None:
    with pytest.raises(GtidFormatError):
        MysqlGtidSet.parse(text)


@pytest.mark.parametrize(
    ("left", "right", "union", "difference", "common"),
    [
        pytest.param(f"{A}:1-10", f"{A}:5-15", f"{A}:1-15", f"{A}:1-4", f"{A}:5-10", id="overlap"),
        pytest.param(f"{A}:1-10", f"{A}:4-6", f"{A}:1-10", f"{A}:1-3:7-10", f"{A}:4-6", id="hole"),
        pytest.param(f"{A}:1-10", f"{B}:1-10", f"{A}:1-10,{B}:1-10", f"{A}:1-10", "", id="other_server"),
        pytest.param(f"{A}:1-10", f"{A}:x:1-10", f"{A}:1-10:x:1-10", f"{A}:1-10", "", id="tag_is_another_source"),
        pytest.param(f"{A}:1-3", f"{A}:1-9", f"{A}:1-9", "", f"{A}:1-3", id="subset"),
    ],
)
def test_mysql_arithmetic(left: str, right: str, union: str, difference: str, common: str) -> None:
    first, second = MysqlGtidSet.parse(left), MysqlGtidSet.parse(right)
    assert str(first | second) == union
    assert str(first - second) == difference
    assert str(first & second) == common


def test_mysql_set_counts_and_selects_by_server() -> None:
    found = MysqlGtidSet.parse(f"{A}:1-10:x:1-3,{B}:7")
    assert found.count() == 14
    assert found.uuids() == {A, B}
    assert str(found.without_uuids([A.upper()])) == f"{B}:7"
    assert str(found.only_uuids([A])) == f"{A}:1-10:x:1-3"


numbers = st.integers(1, 40)
spans = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))
mysql_texts = st.lists(
    st.builds(
        lambda uuid, tag, found: f"{uuid}:{tag}" + ":".join(f"{first}-{last}" for first, last in found),
        st.sampled_from([A, B]),
        st.sampled_from(["", "x:", "y:"]),
        st.lists(spans, min_size=1, max_size=5),
    ),
    max_size=4,
).map(",".join)
mysql_sets = mysql_texts.map(MysqlGtidSet.parse)
mariadb_sets = st.lists(
    st.builds(lambda domain, server, seq: f"{domain}-{server}-{seq}", st.integers(0, 3), st.integers(1, 3), numbers),
    max_size=4,
).map(lambda positions: MariadbGtidSet.parse(",".join(positions)))


def members(found: MysqlGtidSet) -> set[tuple[str, str, int]]:
    expanded = set()
    for part in filter(None, str(found).split(",")):
        uuid, *items = part.split(":")
        tag = ""
        for item in items:
            if not item[0].isdigit():
                tag = item
                continue
            first, _, last = item.partition("-")
            expanded |= {(uuid, tag, number) for number in range(int(first), int(last or first) + 1)}
    return expanded


@given(mysql_sets, mysql_sets)
def test_mysql_arithmetic_agrees_with_sets_of_transactions(left: MysqlGtidSet, right: MysqlGtidSet) -> None:
    assert members(left | right) == members(left) | members(right)
    assert members(left - right) == members(left) - members(right)
    assert members(left & right) == members(left) & members(right)
    assert left.issubset(right) == (members(left) <= members(right))
    assert left.contains(right) == (members(left) >= members(right))
    assert left.count() == len(members(left))
    assert left.is_empty() == (not members(left))
    assert (left == right) == (members(left) == members(right))
    if left == right:
        assert hash(left) == hash(right)


@given(mysql_sets)
def test_mysql_text_survives_parsing(found: MysqlGtidSet) -> None:
    assert MysqlGtidSet.parse(str(found)) == found
    assert pickle.loads(pickle.dumps(found)) == found


@given(mariadb_sets, mariadb_sets)
def test_mariadb_arithmetic_is_consistent(left: MariadbGtidSet, right: MariadbGtidSet) -> None:
    difference, common = left - right, left & right
    assert difference | common == left
    assert (difference & right).is_empty()
    assert left.issubset(left | right)
    assert left.issubset(right) == difference.is_empty()
    assert left | right == right | left
    assert left.count() == difference.count() + common.count()
    assert str(left | right) == str(right | left)


@given(mariadb_sets, mariadb_sets)
def test_mariadb_text_survives_parsing(left: MariadbGtidSet, right: MariadbGtidSet) -> None:
    for found in (left, left - right):
        assert str(MariadbGtidSet.parse(str(found))) == str(found)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("0-1-100", "0-1-100", id="one_domain"),
        pytest.param("1-2-3, 0-1-100", "0-1-100,1-2-3", id="sorted_by_domain"),
        pytest.param("0-1-100,0-2-90", "0-1-100", id="binlog_state_counts_to_the_newest"),
        pytest.param("0-1-0", "", id="nothing_yet"),
        pytest.param(
            "4294967295-4294967295-18446744073709551615",
            "4294967295-4294967295-18446744073709551615",
            id="largest_numbers",
        ),
    ],
)
def test_mariadb_position_is_read_and_written(text: str, canonical: str) -> None:
    assert str(MariadbGtidSet.parse(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{A}:1-5", id="mysql_set"),
        pytest.param("0-1", id="two_numbers"),
        pytest.param("4294967296-1-1", id="domain_too_large"),
        pytest.param("0-4294967296-1", id="server_too_large"),
        pytest.param("0-1-18446744073709551616", id="sequence_too_large"),
        pytest.param("0-1-x", id="no_number"),
        pytest.param("0--1-5", id="negative"),
    ],
)
def test_unknown_mariadb_form_is_refused(text: str) -> None:
    with pytest.raises(GtidFormatError):
        MariadbGtidSet.parse(text)


def test_mariadb_position_means_all_of_its_domain_before() -> None:
    ahead, behind = MariadbGtidSet.parse("0-2-100,1-1-5"), MariadbGtidSet.parse("0-1-90")
    assert ahead.contains(behind)
    missing = ahead - behind
    assert str(missing) == "0-2-91-100,1-1-5"
    assert missing.count() == 15
    assert ahead.is_position()
    assert not missing.is_position()


def test_mariadb_histories_that_parted_show() -> None:
    left, right = MariadbGtidSet.parse("0-1-100,1-1-5"), MariadbGtidSet.parse("0-2-100,1-1-5")
    assert left == right
    assert left.parted_domains(right) == {0}


def test_domains_whose_newest_transaction_a_server_wrote_can_be_dropped() -> None:
    found = MariadbGtidSet.parse("0-1-100,1-2-5")
    assert str(found.without_servers([1])) == "1-2-5"
    assert found.domains() == {0, 1}
    assert found.server_of(1) == 2


def test_flavors_do_not_mix() -> None:
    mysql, mariadb = parse_gtid_set(Flavor.MYSQL, f"{A}:1"), parse_gtid_set(Flavor.MARIADB, "0-1-1")
    with pytest.raises(MixedGtidFlavors):
        mysql.subtract(mariadb)  # type: ignore[arg-type]
    assert mysql != mariadb


def test_a_hundred_thousand_intervals_take_no_quadratic_time() -> None:
    text = f"{A}:" + ":".join(str(number) for number in range(1, 200_000, 2))
    found = MysqlGtidSet.parse(text)
    whole = MysqlGtidSet.parse(f"{A}:1-200000")
    assert found.issubset(whole)
    assert (whole - found).count() == 100_000
    assert (found | whole) == whole

"""Snapshots as bytes: what goes in comes out, and nothing else is taken (N3, N6)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.consensus.raft.configuration import GroupMember, configuration_of
from services.consensus.state.machine import Mark
from services.consensus.state.rows import REQUESTS, SCHEMA_REVISION, SHAPES, TAGS, Row
from services.consensus.state.snapshot import (
    FORMAT,
    MAX_FRAME_BYTES,
    MAX_FRAME_ROWS,
    SnapshotReader,
    SnapshotRefused,
    encode_snapshot,
)

GROUP = "5f0c"
MARK = Mark(70, 3, 1_000, b"\x00\xffdigest", configuration_of([GroupMember(1, "a", "db1"), GroupMember(2)], 5), 9)

unhurried = settings(suppress_health_check=[HealthCheck.too_slow])
values = st.one_of(st.none(), st.integers(-(2**63), 2**64), st.text(max_size=8), st.binary(max_size=8))


@st.composite
def tables_of_rows(draw: st.DrawFn) -> dict[str, list[Row]]:
    tables: dict[str, list[Row]] = {}
    for name in draw(st.sets(st.sampled_from(sorted(SHAPES)), max_size=3)):
        shape, some = SHAPES[name], draw(st.lists(values, min_size=1, max_size=4))
        keys = draw(st.sets(st.tuples(*(st.text(max_size=3) for _ in shape.key)), max_size=4))
        padded = tuple(islice(cycle(some), len(shape.values)))
        tables[name] = [key + padded[turn:] + padded[:turn] for turn, key in enumerate(sorted(keys))]
    return tables


def _encoded(tables: Mapping[str, Sequence[Row]], mark: Mark = MARK) -> bytes:
    return b"".join(encode_snapshot(mark, tables, GROUP))


def _read(data: bytes, group_id: str = GROUP) -> SnapshotReader:
    reader = SnapshotReader(data, group_id)
    while reader.read():
        pass
    return reader


def _raw_frames(data: bytes) -> list[bytes]:
    frames = []
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        frames.append(data[:end])
        data = data[end:]
    return frames


def _frames(data: bytes) -> list[Any]:
    return [json.loads(zlib.decompress(frame[4:])) for frame in _raw_frames(data)]


def _packed(frames: Sequence[Any]) -> bytes:
    packed = [zlib.compress(json.dumps(frame).encode()) for frame in frames]
    return b"".join(len(frame).to_bytes(4, "big") + frame for frame in packed)


def _requests(count: int, result: str = "{}") -> list[Row]:
    return [(f"{number:06}", b"\x80fingerprint", number, 1_000 + number, result) for number in range(count)]


@unhurried
@given(tables_of_rows(), st.randoms(use_true_random=False))
def test_what_is_framed_is_read_back_in_key_order(tables: dict[str, list[Row]], rng: random.Random) -> None:
    shuffled = {name: rng.sample(rows, len(rows)) for name, rows in tables.items()}
    reader = _read(_encoded(shuffled))
    assert reader.mark == MARK
    assert reader.tables == {name: tables.get(name, []) for name in SHAPES}


@unhurried
@given(tables_of_rows(), st.randoms(use_true_random=False))
def test_equal_states_give_equal_bytes(tables: dict[str, list[Row]], rng: random.Random) -> None:
    shuffled = {name: rng.sample(rows, len(rows)) for name, rows in tables.items()}
    assert _encoded(shuffled) == _encoded(tables)


@unhurried
@given(tables_of_rows(), st.data())
def test_damage_is_refused_or_makes_no_difference(tables: dict[str, list[Row]], data: st.DataObject) -> None:
    """Deflate pads its last byte with bits that mean nothing; nothing else is beyond the hash."""
    whole = _encoded(tables)
    place, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    flipped = bytearray(whole)
    flipped[place] ^= 1 << bit
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    for damaged in (cut, whole + b"\x00", whole + whole):
        with pytest.raises(SnapshotRefused):
            _read(damaged)
    with contextlib.suppress(SnapshotRefused):
        reader = _read(bytes(flipped))
        assert (reader.mark, reader.tables) == (MARK, {name: tables.get(name, []) for name in SHAPES})


def test_frames_stay_small() -> None:
    """N2: no piece keeps the loop for long."""
    many, large = _requests(5 * MAX_FRAME_ROWS + 1), _requests(40, "x" * (MAX_FRAME_BYTES // 3))
    for rows in (many, large):
        frames = _frames(_encoded({REQUESTS: rows}))
        sizes = [len(frame["rows"]) for frame in frames[1:-1]]
        assert sum(sizes) == len(rows)
        assert max(sizes) <= MAX_FRAME_ROWS
        assert all(len(json.dumps(frame)) < 2 * MAX_FRAME_BYTES for frame in frames)
    assert len(_read(_encoded({REQUESTS: large})).tables[REQUESTS]) == 40


def test_many_rows_come_in_key_order_as_few_do() -> None:
    rows = _requests(5_000)
    shuffled = random.Random(1).sample(rows, len(rows))
    assert _read(_encoded({REQUESTS: shuffled})).tables[REQUESTS] == rows


def _newer_schema(frames: list[Any]) -> None:
    frames[0]["schema_revision"] = SCHEMA_REVISION + 1


def _newer_format(frames: list[Any]) -> None:
    frames[0]["format"] = FORMAT + 1


def _unknown_column(frames: list[Any]) -> None:
    frames[0]["tables"][REQUESTS].append("colour")


def _unknown_table(frames: list[Any]) -> None:
    frames[0]["tables"]["state_weather"] = ["day"]


def _row_too_many(frames: list[Any]) -> None:
    frames[1]["rows"].append(frames[1]["rows"][0])


def _row_too_short(frames: list[Any]) -> None:
    frames[1]["rows"][0].pop()


def _no_trailer(frames: list[Any]) -> None:
    frames.pop()


def _no_header(frames: list[Any]) -> None:
    frames.pop(0)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(_newer_schema, "must be upgraded", id="N6-newer-schema"),
        pytest.param(_newer_format, "must be upgraded", id="newer-format"),
        pytest.param(_unknown_column, "columns of state_request", id="unknown-column"),
        pytest.param(_unknown_table, "state_weather", id="unknown-table"),
        pytest.param(_row_too_many, "hash", id="row-too-many"),
        pytest.param(_row_too_short, "columns", id="row-too-short"),
        pytest.param(_no_trailer, "ends early", id="no-trailer"),
        pytest.param(_no_header, "damaged", id="no-header"),
    ],
)
def test_snapshot_of_another_making_is_refused(change: Callable[[list[Any]], None], problem: str) -> None:
    frames = _frames(_encoded({REQUESTS: _requests(3)}))
    change(frames)
    with pytest.raises(SnapshotRefused, match=problem):
        _read(_packed(frames))


def test_snapshot_that_announces_other_numbers_of_rows_is_refused() -> None:
    whole = _encoded({REQUESTS: _requests(3)})
    trailer = _frames(whole)[-1]
    content = b"".join(_raw_frames(whole)[:-1])
    assert _read(content + _packed([trailer])).mark == MARK
    trailer["rows"][REQUESTS] = 4
    with pytest.raises(SnapshotRefused, match="number of rows"):
        _read(content + _packed([trailer]))


def test_snapshot_of_another_group_is_refused() -> None:
    with pytest.raises(SnapshotRefused, match="another group"):
        _read(_encoded({}), "6a11")


def test_member_that_was_not_told_its_group_takes_any() -> None:
    assert _read(_encoded({}), "").mark == MARK


def test_table_that_an_older_version_did_not_have_is_empty() -> None:
    """N6."""
    frames = _frames(_encoded({}))
    del frames[0]["tables"][TAGS]
    del frames[1]["rows"][TAGS]
    header = _packed(frames[:1])
    frames[1]["sha256"] = hashlib.sha256(header).hexdigest()
    assert _read(header + _packed(frames[1:])).tables[TAGS] == []

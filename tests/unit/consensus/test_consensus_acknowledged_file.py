"""What a member said it has, beside its database (14.6)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.consensus.store.acknowledged_file import EVERY, Acknowledged, AcknowledgedFile

SAID = Acknowledged(1, "7c0d3e1e-0000-4000-8000-000000000001", 5, 3_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "acknowledged"


def begun(path: Path, said: Acknowledged = SAID) -> AcknowledgedFile:
    file = AcknowledgedFile(path)
    assert file.forgotten(said) == ""
    file.begin(said)
    return file


@pytest.mark.parametrize(
    ("found", "says"),
    [
        pytest.param(SAID, "", id="the-same"),
        pytest.param(replace(SAID, term=6, index=4_000), "", id="more"),
        pytest.param(replace(SAID, index=2_999), "entries that were acknowledged: 3000 to at least 3000", id="entries"),
        pytest.param(replace(SAID, term=4), "forgot term 5", id="term"),
        pytest.param(replace(SAID, incarnation="x", index=9_000), "another one", id="incarnation"),
        pytest.param(Acknowledged(2, "x"), "", id="another-member-took-its-place"),
    ],
)
def test_store_behind_what_was_said_has_forgotten(path: Path, found: Acknowledged, says: str) -> None:
    begun(path).close()
    told = AcknowledgedFile(path).forgotten(found)
    assert says in told
    assert bool(told) == bool(says)


def test_nothing_is_known_without_a_file(path: Path) -> None:
    assert AcknowledgedFile(path).forgotten(Acknowledged(1, "x")) == ""
    assert not path.exists(), "looking makes none"


def test_record_follows_each_term_and_every_thousand_entries(path: Path) -> None:
    file = begun(path)
    file.advance(5, SAID.index + EVERY - 1)
    assert AcknowledgedFile(path).forgotten(SAID) == "", "not worth an fsync yet"
    file.advance(5, SAID.index + EVERY)
    assert str(SAID.index + EVERY) in AcknowledgedFile(path).forgotten(SAID)
    file.advance(6, SAID.index + EVERY)
    assert "term 6" in AcknowledgedFile(path).forgotten(replace(SAID, index=SAID.index + EVERY))


def test_record_is_lowered_before_a_truncation(path: Path) -> None:
    file = begun(path)
    file.take_back(SAID.index + 5)
    assert AcknowledgedFile(path).forgotten(replace(SAID, index=SAID.index - 1)) != ""
    file.take_back(100)
    assert AcknowledgedFile(path).forgotten(replace(SAID, index=100)) == ""


@pytest.mark.parametrize("torn", [0, 1])
def test_torn_record_leaves_the_one_before(path: Path, torn: int) -> None:
    file = begun(path)
    for index in range(torn + 1):
        file.take_back(2_000 - index)
    file.close()
    content = bytearray(path.read_bytes())
    newest = max((0, 4096), key=lambda at: int(content[at:].split(b" ", 1)[0]))
    content[newest + 20] ^= 1
    path.write_bytes(content)
    before = 3_000 if torn == 0 else 2_000
    assert AcknowledgedFile(path).forgotten(replace(SAID, index=before)) == ""
    assert AcknowledgedFile(path).forgotten(replace(SAID, index=before - 1)) != ""


@pytest.mark.parametrize("content", [b"", bytes(9_000), b"\xff" * 9_000], ids=["empty", "zeros", "ones"])
def test_damaged_file_is_not_taken_for_none(path: Path, content: bytes) -> None:
    begun(path).close()
    path.write_bytes(content)
    assert "is damaged" in AcknowledgedFile(path).forgotten(SAID)


def test_file_is_made_whole_or_not_at_all(path: Path) -> None:
    path.with_name(path.name + ".new").write_bytes(b"torn")
    begun(path).close()
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert AcknowledgedFile(path).forgotten(replace(SAID, term=4)) != ""

"""Topologies in files: an example for each code, and what happens to files that are none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from services.analysis.kinds import FindingKind, StructureWarning
from services.analysis.offline import main
from tests.unit.analysis.examples import FINDINGS, SUPPRESSIONS, WARNINGS, Example, files

SNAPSHOTS = Path(__file__).parents[2] / "testdata" / "snapshots"
WRITE = "PRIMACY_WRITE_SNAPSHOTS"
FILES = files()


def told(capsys: pytest.CaptureFixture[str], file: Path, *flags: str) -> dict[str, dict[str, Any]]:
    """Return what is told of a file, by instance."""
    assert main([str(file), "--output", "json", *flags]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len({line["instance"] for line in lines}) == len(lines)
    return {line["instance"]: line for line in lines}


def test_there_is_a_file_for_every_example_and_no_other() -> None:
    if os.environ.get(WRITE):
        SNAPSHOTS.mkdir(parents=True, exist_ok=True)
        for name, example in FILES.items():
            (SNAPSHOTS / f"{name}.json").write_text(example.text(), encoding="utf-8")
    there = {path.stem: path.read_text(encoding="utf-8") for path in SNAPSHOTS.glob("*.json")}
    assert there == {name: example.text() for name, example in FILES.items()}, f"write them anew: {WRITE}=1 pytest …"


def test_every_name_has_an_example() -> None:
    assert set(FINDINGS) == set(FindingKind) - {FindingKind.PRIMARY_WITHOUT_REPLICAS}
    assert set(WARNINGS) == set(StructureWarning)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_judged_as_its_example_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    example = FILES[name]
    lines = told(capsys, SNAPSHOTS / f"{name}.json")
    subject = str(example.subject)
    assert (subject not in lines) == example.hidden
    if not example.hidden:
        line = lines[subject]
        assert (line["code"], line["orchestrator_code"]) == (example.kind.name, example.kind.value)
        assert line["structure_warnings"] == [warning.value for warning in example.warnings]
        assert line["actionable"] == (example.kind.actionable and not example.disarmed)
        assert subject in line["description"]


@pytest.mark.parametrize("name", ["downtime", "replicas_downtime"])
def test_what_downtime_hides_can_be_asked_for(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = SUPPRESSIONS[name]
    lines = told(capsys, write(tmp_path, example.text()), "--downtimed")
    assert lines[str(example.subject)]["code"] == example.kind.name


def test_healthy_instances_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, SNAPSHOTS / "NoProblem.json", "--healthy")
    assert {key: line["code"] for key, line in lines.items()} == {"db0:3306": "NO_PROBLEM"}


def test_text_has_the_summary_people_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(SNAPSHOTS / "DeadMasterAndReplicas.json")]) == 0
    head, sentence = capsys.readouterr().out.splitlines()
    assert head == "db0:3306 (cluster orders): DeadMasterAndReplicas, NoFailoverSupportStructureWarning"
    assert sentence.startswith("  neither db0:3306 nor any of its 2 replicas answers")


def write(directory: Path, text: str) -> Path:
    """Write a file."""
    file = directory / "topology.json"
    file.write_text(text, encoding="utf-8")
    return file


def edited(example: Example, **changes: Any) -> dict[str, Any]:
    """Return an example as JSON values, top-level members changed."""
    values: dict[str, Any] = json.loads(example.text())
    return {**values, **changes}


DEAD = FINDINGS[FindingKind.DEAD_PRIMARY]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        pytest.param('"gtid_mode": "ON"', '"gtid_mod": "ON"', ["instances[0].gtid_mod", "no such field"], id="name"),
        pytest.param('"port": 3306', '"port": "high"', ["clusters[0].primary.port"], id="type"),
        pytest.param('"read_only": false', '"read_only": 0', ["instances[0].read_only"], id="boolean"),
        pytest.param("2026-03-01T12:00:02Z", "yesterday", ["snapshot_time"], id="time"),
        pytest.param("THREAD_STATE_ON", "THREAD_STATE_FAST", ["sql_state"], id="enum"),
        pytest.param('"instances": [', '"instances": [null,', ["instances[0]"], id="null-in-a-list"),
        pytest.param('"alias": "orders"', '"alias": "orders",,', ["not JSON"], id="no-json"),
    ],
)
def test_a_malformed_file_is_refused_with_field_and_line(
    before: str, after: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = DEAD.text()
    assert before in text
    broken = text.replace(before, after, 1)
    line = broken[: broken.index(after)].count("\n") + 1
    assert main([str(write(tmp_path, broken)), "--output", "json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    for word in [*words, f"line {line}"]:
        assert word in err


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        pytest.param({"settings": {"recovery_ignore_hostname_filters": ["ok", "("]}}, "filters[1]", id="pattern"),
        pytest.param({"settings": {"speed": 1}}, "settings.speed", id="unknown-setting"),
        pytest.param(
            {"memory": {"instances": [{"instance": {"host": "db9", "port": 1}}]}}, "db9:1", id="unknown-instance"
        ),
    ],
)
def test_malformed_settings_and_memories_are_refused(
    changes: dict[str, Any], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, json.dumps(edited(DEAD, **changes), indent=1))
    assert main([str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert word in err


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"instances": 3}'])
def test_what_is_no_topology_at_all_is_refused(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "topology.json"
    file.write_bytes(content)
    assert main([str(file)]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)


def test_a_missing_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere.json")]) == 2
    assert "No such file" in capsys.readouterr().err


DERIVED = ("last_check_valid", "depth", "co_primary")


@pytest.mark.parametrize("name", FILES)
def test_what_can_be_derived_need_not_be_written(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = FILES[name]
    values = edited(example)
    for instance in values["instances"]:
        for derived in DERIVED:
            instance.pop(derived, None)
            instance["reading"].pop(derived, None)
    lines = told(capsys, write(tmp_path, json.dumps(values)))
    assert (str(example.subject) not in lines) == example.hidden
    if not example.hidden:
        assert lines[str(example.subject)]["code"] == example.kind.name


def test_port_zero_names_no_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = edited(FINDINGS[FindingKind.DEAD_PRIMARY_WITHOUT_REPLICAS])
    values["instances"][0]["channels"] = [{"source": {"host": "db9", "port": 0}}]
    lines = told(capsys, write(tmp_path, json.dumps(values)))
    assert lines["db0:3306"]["code"] == "DEAD_PRIMARY_WITHOUT_REPLICAS"


@pytest.mark.parametrize("source", [None, {}, {"host": ""}, {"host": "//db9", "port": 3306}])
def test_channel_without_a_source_counts_for_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: object
) -> None:
    values = edited(FINDINGS[FindingKind.DEAD_PRIMARY_WITHOUT_REPLICAS])
    values["instances"][0]["channels"] = [{"source": source}]
    lines = told(capsys, write(tmp_path, json.dumps(values)))
    assert lines["db0:3306"]["code"] == "DEAD_PRIMARY_WITHOUT_REPLICAS"


def test_hosts_in_a_file_may_be_in_any_case_and_null_is_absent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = edited(FINDINGS[FindingKind.DEAD_PRIMARY_WITHOUT_REPLICAS])
    values["instances"][0]["endpoint"]["host"] = "DB0"
    values["instances"][0]["depth"] = values["instances"][0]["co_primary"] = None
    lines = told(capsys, write(tmp_path, json.dumps(values)))
    assert lines["db0:3306"]["code"] == "DEAD_PRIMARY_WITHOUT_REPLICAS"


def test_advice_comes_after_the_findings_and_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(SNAPSHOTS / "UnreachableMaster.json")
    assert main([file, "--output", "json", "--advice"]) == 0
    *lines, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (last["advice"], last["instance"]) == ("PARTIAL_PARTITION", "db0:3306")
    assert main([file, "--output", "json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        line for line in lines if "code" in line
    ]

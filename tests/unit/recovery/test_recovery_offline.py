"""`primacy plan --snapshot`: the service's plan of a topology in a file; what is malformed has its field and line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.ctl.output import as_json
from services.recovery import offline
from services.recovery.convert import plan_to_proto
from services.shared.topology.convert.snapshot import snapshot_to_proto
from services.shared.topology.operators import PromotionRule
from tests.support.recovery.topologies import planned, primary, replica, snapshot

SERVERS = (primary(), replica("a"), replica("b", 90, data_center="west"))


def written(tmp_path: Path, **more: Any) -> Path:
    """Return a file with the servers, and further members."""
    file = tmp_path / "topology.json"
    file.write_text(json.dumps({**as_json(snapshot_to_proto(snapshot(*SERVERS))), **more}, indent=1))
    return file


def test_plan_of_a_file_is_the_planners(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert offline.main(["--failed", "p", str(written(tmp_path))]) == 0
    assert json.loads(capsys.readouterr().out) == as_json(plan_to_proto(planned(*SERVERS)))


POLICIES = [
    pytest.param({}, [], 0, "a", "", id="none"),
    pytest.param({"promotion_ignore_hosts": ["^a"]}, [], 0, "b", "", id="in the words of the proto"),
    pytest.param({"promotionIgnoreHosts": ["^a"]}, [], 0, "b", "", id="in camel case"),
    pytest.param(
        {"promotion_ignore_hosts": ["^a"], "prevent_cross_data_center": True},
        [],
        1,
        None,
        "PLAN_REFUSAL_VETO",
        id="veto",
    ),
    pytest.param({"durability": "DURABILITY_LOSSLESS"}, [], 1, None, "PLAN_REFUSAL_VETO", id="durability"),
    pytest.param({}, ["--kind", "forced-takeover", "--target", "b:3306"], 0, "b", "", id="takeover"),
    pytest.param({}, ["--kind", "switchover", "--target", "b"], 1, None, "PLAN_REFUSAL_PRIMARY_NOT_HEALTHY", id="kind"),
]


@pytest.mark.parametrize(("policy", "arguments", "code", "chosen", "refusal"), POLICIES)
def test_policy_and_kind_steer_the_plan(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    policy: dict[str, Any],
    arguments: list[str],
    code: int,
    chosen: str | None,
    refusal: str,
) -> None:
    assert offline.main(["--failed", "p:3306", *arguments, str(written(tmp_path, policy=policy))]) == code
    told = json.loads(capsys.readouterr().out)
    assert told.get("chosen", {}).get("host") == chosen
    assert told["refusal"] == (refusal or "PLAN_REFUSAL_UNSPECIFIED")


def test_rule_is_read_and_validity_need_not_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = as_json(snapshot_to_proto(snapshot(*SERVERS, replica("c", promotion_rule=PromotionRule.PREFER))))
    for instance in content["instances"]:
        del instance["reading"]["last_check_valid"]
    file = tmp_path / "topology.json"
    file.write_text(json.dumps(content))
    assert offline.main(["--failed", "p", str(file)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["chosen"]["host"] == "c"


def broken(tmp_path: Path, old: str, new: str) -> Path:
    file = written(tmp_path, policy={"prevent_cross_region": False})
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return file


WRONG = [
    pytest.param('"policy": {', '"policy": {"nonsense": 1,', "policy.nonsense", id="unknown setting"),
    pytest.param(
        '"prevent_cross_region": false',
        '"promotion_ignore_hosts": ["["]',
        "policy.promotion_ignore_hosts",
        id="no re",
    ),
    pytest.param(
        '"prevent_cross_region": false',
        '"fail_promotion_if_applier_behind": true, "delay_promotion_if_applier_behind": true',
        "policy.delay_promotion_if_applier_behind",
        id="contradiction",
    ),
    pytest.param('"server_id": 1,', '"server_id": "one",', "instances[2].server_id", id="number"),
    pytest.param('"instances": [', '"instances": [,', "this is not JSON", id="no json"),
]


@pytest.mark.parametrize(("old", "new", "told"), WRONG)
def test_malformed_file_is_named_and_nothing_else_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, told: str
) -> None:
    file = broken(tmp_path, old, new)
    line = 1 + file.read_text().partition(new)[0].count("\n")
    assert offline.main(["--failed", "p", str(file)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert told in output.err
    assert f"line {line}" in output.err


def test_file_that_is_not_there_and_instance_that_is_not_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert offline.main(["--failed", "p", str(tmp_path / "nothing")]) == 2
    assert offline.main(["--failed", "z:1", str(written(tmp_path))]) == 3
    assert "z:1 is not in" in capsys.readouterr().err


COMMANDS = [
    pytest.param(["--failed", "p:3306", "--output", "json"], 0, "", id="json"),
    pytest.param(["p:3306"], 0, "promote a:3306", id="text"),
    pytest.param(["p:3306", "--kind", "nonsense"], 2, "", id="unknown kind"),
    pytest.param(["z:1"], 3, "", id="unknown instance"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), COMMANDS)
def test_command_line(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    command = [sys.executable, "-m", "services.ctl", "plan", "--snapshot", str(written(tmp_path)), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert bool(done.stdout) is (code == 0)
    assert said in done.stdout
    if "json" in arguments:
        assert json.loads(done.stdout)["chosen"] == {"host": "a", "port": 3306}

"""What people tell the registry on the command line, against a real group of one: text, JSON, exit codes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest
import pytest_asyncio

from services.ctl.__main__ import run
from services.ctl.nodes import Service
from tests.support.consensus_group import consensus_group, new_id

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLUSTER = "5e7c9a52-7c5e-4a53-8a0e-222222222222"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A node with nothing but a leading consensus member, as `--nodes` takes it."""
    async with consensus_group(tmp_path_factory.mktemp("one"), 1) as group:
        group.members[0].start()
        await group.leader(within=60)
        host, _, port = group.members[0].api_endpoint.rpartition(":")
        yield f"{host}:{int(port) - list(Service).index(Service.CONSENSUS)}"


class Ask(Protocol):
    """Runs a command line and returns its exit code and what it printed."""

    async def __call__(self, line: str, *, code: int = 0) -> str: ...


@pytest.fixture
def ask(node: str, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs a command line against the node."""

    async def asked(line: str, *, code: int = 0) -> str:
        arguments = [word.replace("~", " ") for word in line.split()]
        assert await asyncio.to_thread(run, [*arguments, "--nodes", node]) == code, capsys.readouterr().err
        shown = capsys.readouterr()
        return shown.err if code else shown.out

    return asked


async def as_json(ask: Ask, line: str) -> Any:
    return json.loads(await ask(f"{line} --output json"))


@pytest.mark.parametrize(
    ("begin", "listed", "end", "text"),
    [
        pytest.param(
            "downtime begin db1:3306 --for 2h --reason disk~dies",
            "downtime list db1:3306",
            "downtime end db1:3306",
            "db1:3306  from ",
            id="downtime-of-an-instance",
        ),
        pytest.param(
            f"downtime begin {CLUSTER} --reason moving",
            f"downtime list {CLUSTER}",
            f"downtime end {CLUSTER}",
            f"cluster {CLUSTER}  from ",
            id="downtime-of-a-cluster",
        ),
        pytest.param(
            "maintenance begin db1:3306 --reason upgrade",
            "maintenance list",
            "maintenance end db1:3306",
            "db1:3306  maintenance ",
            id="maintenance",
        ),
        pytest.param(
            "rule set db1:3306 prefer-not --for 1h",
            "rule list db1:3306",
            "rule delete db1:3306",
            "db1:3306  prefer-not  until ",
            id="rule",
        ),
        pytest.param(
            "tag set db1:3306 rack=a7",
            "tag list db1:3306 --tag rack=a7",
            "tag delete db1:3306 rack",
            "db1:3306  rack=a7  ",
            id="tag",
        ),
        pytest.param(
            "pool set readers db2:3306 db1:3306",
            "pool list db2:3306",
            "pool delete readers",
            "readers  db1:3306, db2:3306  for good  ",
            id="pool",
        ),
        pytest.param(
            f"name set {CLUSTER} shop --domain shop.example",
            "name list --fresh",
            "name delete shop",
            f"shop  {CLUSTER}  shop.example  ",
            id="name",
        ),
        pytest.param(
            "policy set fleet --mode act --loss bounded --max-lost 5 --fence --observers 2 --without wait"
            " --block-period 1h --reason agreed",
            "policy list",
            "policy delete fleet",
            "fleet  act, bounded 5, fence first, 2 observers or wait, block 1h00m  for good  ",
            id="policy-of-the-fleet",
        ),
        pytest.param(
            "policy set db1:3306 --mode observe --for 1h --reason watch",
            "policy list",
            "policy delete db1:3306",
            "db1:3306  observe  until ",
            id="policy-of-an-instance",
        ),
        pytest.param(
            "setting set recoveries off --reason storm",
            "setting list",
            "setting delete recoveries",
            "recoveries  off  ",
            id="setting",
        ),
    ],
)
async def test_what_is_told_is_listed_until_it_is_taken_back(
    ask: Ask, begin: str, listed: str, end: str, text: str
) -> None:
    told = await as_json(ask, begin + " --owner ops")
    assert told["written"]["owner"] == "ops"
    found = await as_json(ask, listed)
    ((plural, items),) = found.items()
    assert items == [told]
    assert (await ask(listed)).startswith(text)
    assert (await ask(end)).partition(": ")[2].startswith(text)
    assert (await as_json(ask, listed))[plural] == []
    await ask(end, code=3)


async def test_cluster_is_named_by_its_alias(ask: Ask) -> None:
    await ask(f"name set {CLUSTER} orders")
    told = await as_json(ask, "downtime begin orders --reason moving")
    assert told["target"] == {"cluster_id": CLUSTER}
    await ask("downtime end orders")
    assert "ALIAS" not in await ask(f"name set {new_id()} orders", code=1)
    await ask("name delete orders")
    assert "orders" in await ask("downtime begin orders --reason moving", code=3)


async def test_repeated_request_id_changes_nothing(ask: Ask) -> None:
    request_id = new_id()
    first = await as_json(ask, f"tag set db9:3306 once=1 --request-id {request_id}")
    await ask("tag set db9:3306 once=2")
    assert await as_json(ask, f"tag set db9:3306 once=1 --request-id {request_id}") == first
    assert (await as_json(ask, "tag list db9:3306"))["tags"][0]["value"] == "2"
    await ask(f"tag set db9:3306 once=3 --request-id {request_id}", code=1)


async def test_somebody_elses_maintenance_refuses_with_its_owner(ask: Ask) -> None:
    held = await as_json(ask, "maintenance begin db8:3306 --reason upgrade --owner alice")
    assert "alice" in await ask("maintenance begin db8:3306 --reason mine", code=1)
    prolonged = await as_json(ask, f"maintenance begin db8:3306 --reason more --prolong {held['maintenance_id']}")
    assert prolonged["maintenance_id"] == held["maintenance_id"]
    await ask("maintenance end db8:3306 --id 1", code=1)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("downtime begin db1:3306", id="no-reason"),
        pytest.param("downtime begin db1:3306 --reason x --for 3", id="span-without-unit"),
        pytest.param("rule set db1:3306 must", id="unknown-rule"),
        pytest.param("policy set fleet --reason x", id="policy-says-nothing"),
        pytest.param("policy set fleet --reason x --loss bounded", id="policy-contradicts-itself"),
        pytest.param("tag set db1:3306 Rack", id="bad-name"),
        pytest.param("setting set recoveries maybe --reason x", id="bad-value"),
        pytest.param("tag set db1:3306 rack --request-id 7", id="bad-request-id"),
    ],
)
async def test_mistakes_exit_with_2(ask: Ask, line: str) -> None:
    assert await ask(line, code=2)


async def test_empty_lists_say_so(ask: Ask) -> None:
    for noun in ("rule", "pool", "policy"):
        assert len((await ask(f"{noun} list")).splitlines()) == 1

"""What the Compose files promise to staging environments."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from services.analysis.settings import AnalysisSettings
from services.consensus.settings import ConsensusSettings
from services.discovery.settings import DiscoverySettings
from services.recovery.settings import RecoverySettings
from services.shared.runtime.settings import ServiceSettings
from tests.contract.tools import ROOT

SETTINGS: dict[str, type[ServiceSettings]] = {
    "discovery": DiscoverySettings,
    "analysis": AnalysisSettings,
    "recovery": RecoverySettings,
    "consensus": ConsensusSettings,
}
NODES = ("node1", "node2", "node3")
STATEFUL = ("discovery", "consensus")
PORTS = {"discovery": 50051, "analysis": 50052, "recovery": 50053, "consensus": 50054}
EVERY_SERVICE = [pytest.param(node, name, id=f"{node}-{name}") for node in NODES for name in SETTINGS]


def load(name: str) -> dict[str, Any]:
    """Return a Compose file of the repository."""
    parsed = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    assert isinstance(parsed, dict)
    return parsed


SUITE = load("compose.yaml")
TOPOLOGY = load("compose.topology.yaml")


SERVERS = {name: service for name, service in TOPOLOGY["services"].items() if "image" in service}


def environment(service: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a service, whichever way it is written."""
    given = service.get("environment", {})
    return dict(entry.split("=", 1) for entry in given) if isinstance(given, list) else dict(given)


def test_there_are_three_nodes_of_four_services() -> None:
    assert set(SUITE["services"]) == {f"{node}-{name}" for node in NODES for name in SETTINGS}


@pytest.mark.parametrize(("node", "name"), EVERY_SERVICE)
def test_a_service_runs_its_module_and_says_how_healthy_it_is(node: str, name: str) -> None:
    service = SUITE["services"][f"{node}-{name}"]
    assert service["command"] == ["python", "-m", f"services.{name}"]
    assert str(PORTS[name]) in json.dumps(service["healthcheck"]["test"])


@pytest.mark.parametrize(("node", "name"), EVERY_SERVICE)
def test_a_service_is_given_settings_it_knows(node: str, name: str) -> None:
    prefix = f"PRIMACY_{name.upper()}_"
    variables = environment(SUITE["services"][f"{node}-{name}"])
    assert variables[f"{prefix}NODE"] == node
    known = {f"{prefix}{field.upper()}" for field in SETTINGS[name].model_fields}
    assert set(variables) <= known


@pytest.mark.parametrize(("node", "name"), EVERY_SERVICE)
def test_services_of_a_node_are_wired_to_one_another(node: str, name: str) -> None:
    endpoints = {
        variable: value
        for variable, value in environment(SUITE["services"][f"{node}-{name}"]).items()
        if variable.endswith("_ENDPOINT")
    }
    for variable, value in endpoints.items():
        other = variable.removeprefix(f"PRIMACY_{name.upper()}_").removesuffix("_ENDPOINT").lower()
        assert value == f"{node}-{other}:{PORTS[other]}"
    assert len(endpoints) == {"discovery": 1, "analysis": 1, "recovery": 3, "consensus": 0}[name]


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("name", STATEFUL)
def test_what_a_service_stores_outlives_its_container(node: str, name: str) -> None:
    service = SUITE["services"][f"{node}-{name}"]
    volume = f"{node}-{name}"
    assert volume in SUITE["volumes"]
    (mounted,) = (mount.split(":")[1] for mount in service["volumes"] if mount.split(":")[0] == volume)
    store = environment(service)[f"PRIMACY_{name.upper()}_STORE_URL"]
    assert store.startswith(f"sqlite:///{mounted}/")


def test_no_two_services_share_a_volume_or_a_published_port() -> None:
    services = SUITE["services"].values()
    ports = [port.rpartition(":")[0] for service in services for port in service.get("ports", ())]
    assert len(ports) == len(set(ports)) == 12
    assert all(port.startswith("127.0.0.1:") for port in ports)
    volumes = [mount.split(":")[0] for service in services for mount in service.get("volumes", ())]
    assert len(volumes) == len(set(volumes))


def test_all_nodes_list_the_same_members_and_each_is_among_them() -> None:
    lists = {node: environment(SUITE["services"][f"{node}-consensus"])["PRIMACY_CONSENSUS_MEMBERS"] for node in NODES}
    assert len(set(lists.values())) == 1
    members = json.loads(lists["node1"])
    assert [member["name"] for member in members] == list(NODES)
    for member in members:
        assert member["api_endpoint"] == f"{member['name']}-consensus:50054"
        assert member["raft_endpoint"] == f"{member['name']}-consensus:50055"
        assert member["recovery_endpoint"] == f"{member['name']}-recovery:50053"
    settings = ConsensusSettings(node="node2", members=members)
    assert settings.member.member_id == 2


def test_the_base_image_is_a_variable() -> None:
    builds = [service["build"] for service in SUITE["services"].values() if "build" in service]
    assert builds
    assert all(re.match(r"\$\{PYTHON_IMAGE:-\S+\}$", build["args"]["PYTHON_IMAGE"]) for build in builds)
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG PYTHON_IMAGE=", dockerfile, re.MULTILINE)
    assert re.search(r"^FROM \$\{?PYTHON_IMAGE\}?", dockerfile, re.MULTILINE)


def test_the_staging_topology_is_a_primary_and_two_replicas() -> None:
    assert set(SERVERS) == {"mysql1", "mysql2", "mysql3"}
    assert [name for name, server in SERVERS.items() if "--read-only=1" in server["command"]] == ["mysql2", "mysql3"]
    ids = [argument for server in SERVERS.values() for argument in server["command"] if "--server-id" in argument]
    assert len(set(ids)) == 3


def test_the_staging_topology_only_adds_to_services_there_are() -> None:
    assert set(TOPOLOGY["services"]) <= set(SERVERS) | set(SUITE["services"])
    for node in NODES:
        seeds = environment(TOPOLOGY["services"][f"{node}-discovery"])["PRIMACY_DISCOVERY_SEEDS"]
        hosts = [seed.partition(":")[0] for seed in json.loads(seeds)]
        assert hosts
        assert set(hosts) <= set(SERVERS)


@pytest.mark.parametrize("name", ["mysql1", "mysql2", "mysql3"])
def test_a_staging_server_can_fail_over_by_gtid(name: str) -> None:
    service = SERVERS[name]
    assert re.match(r"\$\{MYSQL_IMAGE:-\S+\}$", service["image"])
    assert service["healthcheck"]["test"]
    assert f"{name}:/var/lib/mysql" in service["volumes"]
    assert name in TOPOLOGY["volumes"]
    needed = {"--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--log-replica-updates=ON", f"--report-host={name}"}
    assert needed <= set(service["command"])


def test_files_that_containers_mount_are_there() -> None:
    for service in SERVERS.values():
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            assert not source.startswith("./") or (ROOT / source).is_file()
    for secret in SUITE["secrets"].values():
        assert (ROOT / secret["file"]).is_file()


def test_no_service_gets_a_password_in_its_environment() -> None:
    for service in SUITE["services"].values():
        assert not [name for name in environment(service) if name.endswith("PASSWORD")]

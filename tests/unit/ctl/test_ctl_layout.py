"""Which processes make a suite, and what each is told."""

from __future__ import annotations

import json
from pathlib import Path

from services.ctl.nodes import Service
from services.ctl.up.layout import ProcessSpec, SuiteOptions, suite_processes

OPTIONS = SuiteOptions(
    data=Path("/data"),
    node_count=3,
    base_port=6000,
    mysql_user="primacy",
    mysql_password_file=Path("/secret"),
    seeds=("db1:3306", "db2:3306"),
    policy="observe",
)


def process(options: SuiteOptions, node: str, service: Service) -> ProcessSpec:
    """Return one process of a suite."""
    (found,) = (spec for spec in suite_processes(options) if (spec.node, spec.service) == (node, service))
    return found


def test_suite_has_four_services_a_node_on_ports_of_their_own() -> None:
    specs = suite_processes(OPTIONS)

    assert len(specs) == 12
    ports = [port for spec in specs for port in spec.ports]
    assert sorted(ports) == [*range(6000, 6005), *range(6010, 6015), *range(6020, 6025)]


def test_services_of_a_node_know_one_another() -> None:
    environment = process(OPTIONS, "node2", Service.RECOVERY).environment

    assert environment == {
        "PRIMACY_RECOVERY_NODE": "node2",
        "PRIMACY_RECOVERY_LISTEN": "127.0.0.1:6012",
        "PRIMACY_RECOVERY_DISCOVERY_ENDPOINT": "127.0.0.1:6010",
        "PRIMACY_RECOVERY_ANALYSIS_ENDPOINT": "127.0.0.1:6011",
        "PRIMACY_RECOVERY_CONSENSUS_ENDPOINT": "127.0.0.1:6013",
        "PRIMACY_RECOVERY_MYSQL_USER": "primacy",
        "PRIMACY_RECOVERY_MYSQL_PASSWORD_FILE": "/secret",
        "PRIMACY_RECOVERY_POLICY": "observe",
    }


def test_every_member_is_told_of_all_members() -> None:
    members = {
        spec.environment["PRIMACY_CONSENSUS_MEMBERS"]
        for spec in suite_processes(OPTIONS)
        if spec.service is Service.CONSENSUS
    }

    (same,) = members
    assert [member["member_id"] for member in json.loads(same)] == [1, 2, 3]
    assert json.loads(same)[2] == {
        "member_id": 3,
        "name": "node3",
        "raft_endpoint": "127.0.0.1:6024",
        "api_endpoint": "127.0.0.1:6023",
        "recovery_endpoint": "127.0.0.1:6022",
        "site": "local",
    }


def test_each_store_is_a_file_of_its_own() -> None:
    stores = [
        value
        for spec in suite_processes(OPTIONS)
        for name, value in spec.environment.items()
        if name.endswith("STORE_URL")
    ]

    assert len(stores) == len(set(stores)) == 6
    assert all(store.startswith("sqlite:////data/node") for store in stores)


def test_what_was_not_asked_for_is_left_to_the_services() -> None:
    environment = process(SuiteOptions(Path("/data")), "node1", Service.DISCOVERY).environment

    assert not [name for name in environment if "MYSQL" in name or "SEEDS" in name]
    assert "PRIMACY_RECOVERY_POLICY" not in process(SuiteOptions(Path("/data")), "node1", Service.RECOVERY).environment


def test_seeds_go_to_discovery_alone() -> None:
    for spec in suite_processes(OPTIONS):
        seeds = [value for name, value in spec.environment.items() if name.endswith("SEEDS")]
        assert seeds == (['["db1:3306", "db2:3306"]'] if spec.service is Service.DISCOVERY else [])

"""Which processes make a node, and what each is told; pure.

Node k listens on `base_port + 10 * (k - 1)` and the four ports after it: discovery, analysis, recovery, consensus, and
consensus for its peers. A node is one of each service, on SQLite files of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.ctl.nodes import DEFAULT_BASE_PORT, RAFT_OFFSET, Node, Service, join_host_port

HOST: Final = "127.0.0.1"
PORT_STEP: Final = 10
START_ORDER: Final = (Service.CONSENSUS, Service.DISCOVERY, Service.ANALYSIS, Service.RECOVERY)
"""Each after those it connects to; they also start in any other order, only slower."""


@dataclass(frozen=True, slots=True)
class SuiteOptions:
    """What `primacy up` was asked for.

    Attributes:
        data: Directory of everything the suite keeps; absolute.
        node_count: How many nodes, at least one.
        base_port: First port of the first node.
        mysql_user: Account for the servers; empty = the services' default.
        mysql_password_file: File with its password; None = the services' default.
        seeds: Servers to discover from the start, `host:port`.
        policy: `act` or `observe`; empty = recovery's default.
    """

    data: Path
    node_count: int = 1
    base_port: int = DEFAULT_BASE_PORT
    mysql_user: str = ""
    mysql_password_file: Path | None = None
    seeds: tuple[str, ...] = ()
    policy: str = ""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process to keep running.

    Attributes:
        node: Name of its node.
        service: Which service it is.
        program: What Python runs: `-m` and the module.
        listen: Where it listens.
        ports: Every port it binds.
        environment: Settings, on top of the environment `up` runs in.
        log_file: Where its output goes.
    """

    node: str
    service: Service
    program: tuple[str, ...]
    listen: str
    ports: tuple[int, ...]
    environment: Mapping[str, str] = field(repr=False)
    log_file: Path

    @property
    def name(self) -> str:
        """Name for people: `node1 discovery`."""
        return f"{self.node} {self.service.label}"


def nodes_of(options: SuiteOptions) -> tuple[Node, ...]:
    """Return where the nodes of a suite are, in order."""
    return tuple(Node(HOST, options.base_port + PORT_STEP * number) for number in range(options.node_count))


def suite_processes(options: SuiteOptions) -> tuple[ProcessSpec, ...]:
    """Return the processes of all nodes in the order they start."""
    members = _members(options)
    return tuple(
        _process(options, name, node, service, members)
        for name, node in _named_nodes(options)
        for service in START_ORDER
    )


def _named_nodes(options: SuiteOptions) -> list[tuple[str, Node]]:
    return [(f"node{number}", node) for number, node in enumerate(nodes_of(options), start=1)]


def _members(options: SuiteOptions) -> str:
    """Return the members of the Raft group as consensus' setting has them."""
    return json.dumps(
        [
            {
                "member_id": number,
                "name": name,
                "raft_endpoint": join_host_port(node.host, node.base_port + RAFT_OFFSET),
                "api_endpoint": node.endpoint(Service.CONSENSUS),
                "recovery_endpoint": node.endpoint(Service.RECOVERY),
                "site": "local",
            }
            for number, (name, node) in enumerate(_named_nodes(options), start=1)
        ]
    )


def _process(options: SuiteOptions, name: str, node: Node, service: Service, members: str) -> ProcessSpec:
    settings = {"NODE": name, "LISTEN": node.endpoint(service), **_own_settings(options, name, node, service, members)}
    prefix = f"PRIMACY_{service.name}_"
    raft = (node.base_port + RAFT_OFFSET,) if service is Service.CONSENSUS else ()
    return ProcessSpec(
        node=name,
        service=service,
        program=("-m", f"services.{service.label}"),
        listen=node.endpoint(service),
        ports=(node.base_port + service.value, *raft),
        environment={prefix + key: value for key, value in settings.items()},
        log_file=options.data / name / f"{service.label}.log",
    )


def _own_settings(options: SuiteOptions, name: str, node: Node, service: Service, members: str) -> dict[str, str]:
    discovery, analysis, consensus = (
        node.endpoint(other) for other in (Service.DISCOVERY, Service.ANALYSIS, Service.CONSENSUS)
    )
    store = f"sqlite:///{options.data / name / f'{service.label}.db'}"
    match service:
        case Service.DISCOVERY:
            seeds = {"SEEDS": json.dumps(options.seeds)} if options.seeds else {}
            return {"STORE_URL": store, "CONSENSUS_ENDPOINT": consensus, **_account(options), **seeds}
        case Service.ANALYSIS:
            return {"DISCOVERY_ENDPOINT": discovery}
        case Service.RECOVERY:
            policy = {"POLICY": options.policy} if options.policy else {}
            endpoints = {
                "DISCOVERY_ENDPOINT": discovery,
                "ANALYSIS_ENDPOINT": analysis,
                "CONSENSUS_ENDPOINT": consensus,
            }
            return {**endpoints, **_account(options), **policy}
        case Service.CONSENSUS:
            raft = join_host_port(node.host, node.base_port + RAFT_OFFSET)
            return {"STORE_URL": store, "RAFT_LISTEN": raft, "MEMBERS": members}


def _account(options: SuiteOptions) -> dict[str, str]:
    user = {"MYSQL_USER": options.mysql_user} if options.mysql_user else {}
    file = options.mysql_password_file
    return {**user, **({"MYSQL_PASSWORD_FILE": str(file)} if file else {})}

"""Which nodes to ask: a list of addresses, and the ports of the four services from each one's base port."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

DEFAULT_BASE_PORT: Final = 50051
DEFAULT_NODES: Final = f"127.0.0.1:{DEFAULT_BASE_PORT}"


class Service(enum.Enum):
    """The services of a node; the value is the distance of the port from the node's base port."""

    DISCOVERY = 0
    ANALYSIS = 1
    RECOVERY = 2
    CONSENSUS = 3

    @property
    def label(self) -> str:
        """Name for people and of the package, `services.<label>`."""
        return self.name.lower()


RAFT_OFFSET: Final = 4
"""Distance of the port where consensus listens for its peers."""


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """Where a node is: its services listen on `base_port` and the three ports after it."""

    host: str
    base_port: int = DEFAULT_BASE_PORT

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `host`, `host:base_port` or `[ipv6]:base_port`.

        Raises:
            ValueError: No host, or no port between 1 and 65531.
        """
        host, port = _split(text.strip())
        if not host or any(character.isspace() or character == "/" for character in host):
            raise ValueError(f"{text!r} is not host[:base_port]")
        if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535 - RAFT_OFFSET:
            raise ValueError(f"{text!r} has no base port between 1 and {65535 - RAFT_OFFSET}")
        return cls(host, int(port))

    @classmethod
    def of_consensus(cls, endpoint: str, recovery_endpoint: str) -> Self | None:
        """Return the node with these two endpoints; None when its ports are not one after another."""
        try:
            api, recovery = cls.parse(endpoint), cls.parse(recovery_endpoint)
            node = cls(api.host, api.base_port - Service.CONSENSUS.value)
        except ValueError:
            return None
        return node if recovery == cls(node.host, node.base_port + Service.RECOVERY.value) else None

    def endpoint(self, service: Service) -> str:
        """Return where a service of this node listens."""
        return join_host_port(self.host, self.base_port + service.value)

    def __str__(self) -> str:
        return join_host_port(self.host, self.base_port)


def join_host_port(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":") or str(DEFAULT_BASE_PORT)
    host, separator, port = text.rpartition(":")
    if not separator:
        return text, str(DEFAULT_BASE_PORT)
    return ("", "") if ":" in host else (host, port)


def parse_nodes(text: str) -> tuple[Node, ...]:
    """Parse a comma-separated list of nodes, repeated ones once, in order.

    Raises:
        ValueError: Empty, or one of them is malformed.
    """
    nodes = tuple(dict.fromkeys(Node.parse(part) for part in text.split(",") if part.strip()))
    if not nodes:
        raise ValueError("no node is named; give host[:base_port][,host[:base_port]...]")
    return nodes


def union(first: Iterable[Node], second: Iterable[Node]) -> tuple[Node, ...]:
    """Return the nodes of both, each once, those of `first` first."""
    return tuple(dict.fromkeys((*first, *second)))

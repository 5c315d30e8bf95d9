"""The suite: what each node is, whether it can do its work, and what stands between findings and actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from primacy.consensus.v1 import consensus_pb2
from primacy.recovery.v1 import recovery_pb2

from services.ctl.health import SERVING
from services.ctl.text import Cell, Line, bad, columns, dim, good, indent, line, strong, warn
from services.ctl.views.consensus import BLOCKER_SENTENCES
from services.ctl.words import age_text, duration_text, endpoint_text, enum_code, enum_word


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What was learned of one node.

    Attributes:
        node: Where it is: `host:base_port`.
        group: What its consensus says; None = it did not answer.
        error: Why it did not answer; empty when it did.
        health: By service: `serving`, `not serving`, or why it is not known.
    """

    node: str
    group: consensus_pb2.GetStatusResponse | None
    error: str
    health: Mapping[str, str]

    @property
    def healthy(self) -> bool:
        """It answered, knows a leader, nothing stands in its way, and all its services serve."""
        group = self.group
        return (
            group is not None
            and group.HasField("leader")
            and not group.blockers
            and all(state == SERVING for state in self.health.values())
        )


def status_lines(
    nodes: Sequence[NodeStatus], blocked: Sequence[recovery_pb2.BlockedFinding] | None, now: datetime
) -> list[Line]:
    """Return the state of the suite: a line per node (`log` is committed/applied), then what is wrong.

    Args:
        nodes: Every node that was asked.
        blocked: Findings nobody acts on; None = no recovery service could be asked.
        now: Present wall time.
    """
    return [*columns([_cells(node) for node in nodes]), *_trouble(nodes), *blockers_lines(blocked, now)]


def _cells(status: NodeStatus) -> Sequence[Cell]:
    if status.group is None:
        return (strong(status.node), bad("unreachable"), line(dim(status.error), "  ", *_health(status.health)))
    group = status.group
    return (
        strong(group.member.name or status.node),
        status.node,
        _role(group),
        f"term {group.term}",
        _lease(group),
        _quorum(group),
        f"log {group.commit_index}/{group.applied_index}",
        _health(status.health),
    )


def _role(group: consensus_pb2.GetStatusResponse) -> Cell:
    """What the member is, and whom it follows."""
    if group.role == consensus_pb2.ROLE_LEADER:
        return good("leads")
    if group.role == consensus_pb2.ROLE_FOLLOWER and group.HasField("leader"):
        return f"follows {group.leader.name}"
    return bad(f"{enum_word(consensus_pb2.Role, group.role, 'ROLE_')}, no leader")


def _lease(group: consensus_pb2.GetStatusResponse) -> Cell:
    if group.HasField("leader_lease_valid_for"):
        return good(f"lease {duration_text(group.leader_lease_valid_for)}")
    return bad("no lease") if group.role == consensus_pb2.ROLE_LEADER else dim("-")


def _quorum(group: consensus_pb2.GetStatusResponse) -> Cell:
    text = f"quorum {group.quorum_have}/{group.quorum_need}"
    return text if group.quorum_have >= group.quorum_need else bad(text)


def _health(health: Mapping[str, str]) -> Line:
    """All four at once when they serve, else those that do not."""
    failing = [f"{service} {state}" for service, state in health.items() if state != SERVING]
    return line(bad("; ".join(failing))) if failing else line(good("all serving"))


def _trouble(nodes: Sequence[NodeStatus]) -> list[Line]:
    """What a node says stands in its way, and members whose applied states differ."""
    lines = []
    for node in nodes:
        for blocker in node.group.blockers if node.group else ():
            code = enum_code(consensus_pb2.Blocker, blocker, "BLOCKER_")
            lines.append(line(bad(code), f" on {node.node}: ", BLOCKER_SENTENCES.get(code, "")))
    return lines + [line(bad("STATES DIFFER"), f": {text}") for text in differing_states(nodes)]


def differing_states(nodes: Sequence[NodeStatus]) -> list[str]:
    """Return which members applied the same entries and yet hold different states: never normal."""
    groups = [node.group for node in nodes if node.group is not None and node.group.state_digest]
    digests: dict[int, dict[str, list[str]]] = {}
    for group in groups:
        digests.setdefault(group.applied_index, {}).setdefault(group.state_digest, []).append(group.member.name)
    return [
        f"at log index {index}: " + " against ".join(", ".join(names) for names in by_digest.values())
        for index, by_digest in sorted(digests.items())
        if len(by_digest) > 1
    ]


def blockers_lines(blocked: Sequence[recovery_pb2.BlockedFinding] | None, now: datetime) -> list[Line]:
    """Return the findings nobody acts on, and why; that it is not known, when nobody could be asked."""
    if blocked is None:
        return [line(warn("what stands in the way of recoveries is not known: no recovery service answers"))]
    return [content for entry in blocked for content in _blocked(entry, now)]


def _blocked(entry: recovery_pb2.BlockedFinding, now: datetime) -> list[Line]:
    code = enum_code(recovery_pb2.Blocker, entry.blocker, "BLOCKER_")
    since = f" for {age_text(entry.since_time, now)}" if entry.HasField("since_time") else ""
    head = line(
        bad(entry.orchestrator_code), " ", endpoint_text(entry.instance), f" is not acted on{since}: ", warn(code)
    )
    return [head, *indent([line(entry.reason)])]

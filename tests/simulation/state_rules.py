"""Invariants of the state machine: I5 and I13 by digest, I9, I12, I14, I18, and F1.

Whoever applies an entry first sets what everybody else must come to; a member that starts or installs is compared with
what the log made of the tables up to there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from services.consensus.errors import RequestIdReused
from services.consensus.raft.model import Entry, EntryKind
from services.consensus.state.commands import (
    AdoptRecovery,
    CloseRecovery,
    PublishPrimary,
    RecordSteps,
    RegisterRecovery,
)
from services.consensus.state.machine import RECOVERY_LEASE, Applied
from services.consensus.state.registry.commands import DeleteSetting, SetSetting
from services.shared.runtime.errors import DomainError

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World

BOOTSTRAP_INDEX = 1


class StateRules:
    """What the log has made of the state so far."""

    def __init__(self, world: World, must: Callable[[bool, str, str], None]) -> None:
        """Start with empty tables at the bootstrap's mark."""
        self._world = world
        self._must = must
        self._digests: list[bytes] = [bytes(16)]  # By index, from the bootstrap's on.
        self._contents: list[int] = [0]
        self._effects: dict[str, tuple[int, object]] = {}  # Request id -> (index, answer).

    @property
    def applied_index(self) -> int:
        """Newest entry that anybody applied."""
        return BOOTSTRAP_INDEX + len(self._digests) - 1

    def applied(self, node: Node, entry: Entry, applied: Applied) -> None:
        """A member applied an entry."""
        place = entry.index - BOOTSTRAP_INDEX
        if place == len(self._digests):
            self._first(node, entry, applied)
        if self._digests[place] != node.machine.mark.digest or self._contents[place] != node.rows.content:
            self._must(False, "I13", f"{node.member_id} differs at {entry.index}")

    def restored(self, node: Node, rule: str) -> None:
        """A member started, or installed a snapshot: its tables are the fold of the log up to there."""
        mark = node.machine.mark
        if mark.applied_index < BOOTSTRAP_INDEX or node.quarantine:
            return
        place = mark.applied_index - BOOTSTRAP_INDEX
        self._must(place < len(self._digests), rule, f"{node.member_id} is at {mark.applied_index}, nobody was")
        same = self._digests[place] == mark.digest and self._contents[place] == node.rows.content
        self._must(same, rule, f"{node.member_id} came back with other rows at {mark.applied_index}")

    def _first(self, node: Node, entry: Entry, applied: Applied) -> None:
        self._digests.append(node.machine.mark.digest)
        self._contents.append(node.rows.content)
        if entry.kind is EntryKind.NOOP:
            old = [lease for lease in node.machine.leases.live() if lease.grant_term < entry.term]
            self._must(not old, "F1", f"{old} outlive the NOOP of term {entry.term}")
            return
        match self._world.decode(entry):
            case RegisterRecovery() as command:
                self._token_newest(node, command.fencing_token, applied)
                self._one_open(node, command.cluster_id)
            case AdoptRecovery() | RecordSteps() | CloseRecovery() as command:
                self._token_newest(node, command.fencing_token, applied)
            case PublishPrimary() as command:
                self._at_most_once(command.request_id, entry.index, applied)
            case SetSetting() | DeleteSetting() as command:
                self._at_most_once(command.origin.request_id, entry.index, applied)

    def _token_newest(self, node: Node, token: int, applied: Applied) -> None:
        """A write of the journal took effect: under the newest token only (I9)."""
        if not isinstance(applied.result, DomainError) and applied.changes:
            lease = node.machine.leases.newest(RECOVERY_LEASE)
            newest = lease is not None and lease.live and lease.fencing_token == token
            self._must(newest, "I9", f"a write of {token} was accepted, the lease is {lease}")

    def _one_open(self, node: Node, cluster: str) -> None:
        count = sum(found.is_open and found.cluster_id == cluster for found in node.machine.journal.all())
        self._must(count <= 1, "I18", f"{count} open recoveries of {cluster}")

    def _at_most_once(self, request_id: str, index: int, applied: Applied) -> None:
        """A request took effect or was repeated (I12)."""
        if isinstance(applied.result, DomainError):
            self._must(not isinstance(applied.result, RequestIdReused), "I12", f"{request_id} taken for another")
            return
        first, answer = self._effects.setdefault(request_id, (index, applied.result))
        again = not applied.changes and applied.result == answer
        self._must(first == index or again, "I12", f"{request_id} of {first} took effect again at {index}")

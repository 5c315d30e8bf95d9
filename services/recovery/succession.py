"""Who takes over from a failed primary, and whom each of the others follows afterwards. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.recovery.candidate import Choice, Field, why_lost
from services.recovery.positions import Held, union
from services.recovery.replacement import Replacement, Search
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey


@dataclass(frozen=True, slots=True)
class Succession:
    """Who takes over, and what becomes of the others.

    Attributes:
        successor: Who is promoted.
        first: Who has most: the successor, or who feeds it before.
        choice: How the replicas were weighed.
        sources: Whom each replica that can be kept follows afterwards.
        lost: Why each of the others cannot.
        reason: Why the successor is promoted and not the first; empty when it is the first.
    """

    successor: Instance
    first: Instance
    choice: Choice
    sources: Mapping[InstanceKey, InstanceKey]
    lost: Mapping[InstanceKey, str]
    reason: str = ""

    @property
    def interim(self) -> Instance | None:
        """Who feeds the successor before that is promoted; None = nobody needs to."""
        return None if self.first.key == self.successor.key else self.first

    def read_from(self, failed: InstanceKey) -> InstanceKey:
        """Return whom the successor reads from before anything is done."""
        return self.first.key if self.first.key in self.successor.sources else failed


def succession(search: Search, replacement: Replacement | None) -> Succession:
    """Return what becomes of every replica when the most advanced one, or its replacement, is promoted."""
    first, choice = search.first, search.choice
    if replacement is None:
        sources = {follower.key: first.key for follower in choice.followers}
        return Succession(first, first, choice, sources, choice.lost)
    successor = replacement.instance
    caught_up = replace(choice, field=_caught_up(choice, successor, first))
    sources, lost = {}, {}
    for replica in (first, *choice.followers):
        if replica.key == successor.key:
            continue
        why = why_lost(replica, successor, caught_up.field)
        sources[replica.key] = first.key if why and replica.key != first.key else successor.key
    for key, why in choice.lost.items():
        lost[key] = why
    reason = f"{replacement.reason}; catches up from {first.key}, which received most"
    return Succession(successor, first, caught_up, sources, lost, reason)


def _caught_up(choice: Choice, successor: Instance, first: Instance) -> Field:
    """Return what replicas are compared with after the successor has everything that the first one has."""
    holdings = dict(choice.field.holdings)
    before, source = holdings.get(successor.key, Held(None, None)), holdings[first.key]
    everything = source.everything
    if before.everything is not None and everything is not None:
        everything = union(before.everything, everything)
    holdings[successor.key] = Held(everything, before.errant)
    return replace(choice.field, holdings=holdings)

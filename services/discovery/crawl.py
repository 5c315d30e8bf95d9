"""Where a topology goes on from one instance, and what must stay forgotten."""

from __future__ import annotations

from collections.abc import Iterable

from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey


def neighbours(instance: Instance) -> tuple[InstanceKey, ...]:
    """Return the endpoints to look at next: up to its sources, down to the replicas it reports; never itself."""
    return tuple(sorted({*instance.sources, *instance.reported_replicas} - {instance.key}))


class Forgotten:
    """Endpoints that were forgotten a moment ago, so that running crawls do not bring them back."""

    def __init__(self) -> None:
        self._until_ns: dict[InstanceKey, int] = {}

    def add(self, key: InstanceKey, until_ns: int) -> None:
        """Forget an endpoint until a boot time."""
        self._until_ns[key] = until_ns

    def remove(self, key: InstanceKey) -> None:
        """An operator asked for the endpoint again."""
        self._until_ns.pop(key, None)

    def allowed(self, keys: Iterable[InstanceKey], now_ns: int) -> list[InstanceKey]:
        """Return those that may be probed."""
        self._until_ns = {key: until for key, until in self._until_ns.items() if until > now_ns}
        return [key for key in keys if key not in self._until_ns]

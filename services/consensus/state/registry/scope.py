"""What a downtime, a maintenance or a policy is about, as text: the fleet, one cluster, or one instance."""

from __future__ import annotations

from typing import Final

FLEET: Final = "fleet"
_CLUSTER: Final = "cluster:"
_INSTANCE: Final = "instance:"


def cluster_scope(cluster_id: str) -> str:
    """Return the scope of a cluster."""
    return _CLUSTER + cluster_id


def instance_scope(instance: str) -> str:
    """Return the scope of an instance, `host:port`."""
    return _INSTANCE + instance


def cluster_of(scope: str) -> str | None:
    """Return the cluster's id, None when the scope is not a cluster."""
    return scope.removeprefix(_CLUSTER) if scope.startswith(_CLUSTER) else None


def instance_of(scope: str) -> str | None:
    """Return the instance's `host:port`, None when the scope is not an instance."""
    return scope.removeprefix(_INSTANCE) if scope.startswith(_INSTANCE) else None

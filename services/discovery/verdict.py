"""What is wrong with an instance at a glance, and what a cluster is at a glance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from services.discovery.model import DirectoryEntry, Limits
from services.discovery.reading import is_recent
from services.shared.topology.instance import Instance, Problem
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot import Cluster


def problems_of(instance: Instance, now: datetime, limits: Limits, *, seen_twice: bool) -> tuple[Problem, ...]:
    """Return the problems of an instance, in the order of `Problem`."""
    return tuple(_problems(instance, now, limits, seen_twice=seen_twice))


def _problems(instance: Instance, now: datetime, limits: Limits, *, seen_twice: bool) -> Iterator[Problem]:
    if not instance.reading.last_check_valid:
        yield Problem.LAST_CHECK_INVALID
    if not is_recent(instance.reading, now, limits):
        yield Problem.NOT_RECENTLY_CHECKED
    if instance.channels and not instance.replicating:
        yield Problem.NOT_REPLICATING
    if _lags(instance, limits):
        yield Problem.REPLICATION_LAG
    if instance.errant_gtid_set:
        yield Problem.ERRANT_GTID
    if seen_twice:
        yield Problem.SEEN_TWICE


def _lags(instance: Instance, limits: Limits) -> bool:
    return any(
        channel.replicating if channel.lag is None else channel.lag > limits.lag + channel.sql_delay
        for channel in instance.channels
    )


def cluster_of(
    cluster_id: str, alias: str, members: Sequence[Instance], published: DirectoryEntry | None
) -> Cluster:  # fmt: skip
    """Return a cluster.

    Args:
        cluster_id: Its id.
        alias: Its label, unless the directory has another.
        members: Its instances.
        published: What the directory has of it.
    """
    return Cluster(
        cluster_id,
        published.alias if published is not None and published.alias else alias,
        primary=primary_of(members, published),
        instance_count=len(members),
        problem_count=sum(1 for instance in members if instance.problems),
        epoch=published.epoch if published is not None else 0,
    )


def primary_of(members: Sequence[Instance], published: DirectoryEntry | None) -> InstanceKey | None:
    """Return the primary: the one instance that was read and is no replica.

    Of several the one that the directory has published is it, else the only one that answers. None: there is none, or
    it cannot be told.
    """
    tops = [instance for instance in members if not instance.sources and instance.server_uuid]
    named = [top for top in tops if published is not None and top.server_uuid == published.server_uuid]
    valid = [top for top in tops if top.reading.last_check_valid]
    return next((found[0].key for found in (tops, named, valid) if len(found) == 1), None)

"""Errors that a caller of any service can meet, as domain exceptions with their facts as attributes.

A service adds classes of its own in its `model.py`, one for each thing a caller would do differently.
"""

from __future__ import annotations

from dataclasses import dataclass


class DomainError(Exception):
    """A call that cannot go on, for a reason the caller is told.

    Subclasses are dataclasses; `str()` is the sentence a person reads, so it says what happened, to what, and what to
    do next. It never holds a secret.
    """

    def facts(self) -> dict[str, str]:
        """Return the facts of the message by name, as they go into `ErrorInfo.metadata`."""
        fields: dict[str, object] = getattr(self, "__dataclass_fields__", {})
        return {name: str(getattr(self, name)) for name in fields}


@dataclass
class InvalidField(DomainError):
    """A field of a request is malformed.

    Attributes:
        field: Path of the field, as in the proto (`endpoint.port`).
        problem: What is wrong with it.
    """

    field: str
    problem: str

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


@dataclass
class InstanceUnknown(DomainError):
    """No instance is known under this endpoint."""

    instance: str

    def __str__(self) -> str:
        return f"instance {self.instance} is not known; discover it first"


@dataclass
class ClusterUnknown(DomainError):
    """No cluster is known under this id or alias."""

    cluster: str

    def __str__(self) -> str:
        return f"cluster {self.cluster} is not known; give its id or its exact alias"


@dataclass
class NotLeader(DomainError):
    """This node does not lead the group, so it may not act.

    Attributes:
        leader: Name of the leading node.
        endpoint: Where the same service of the leading node is; empty when not known.
    """

    leader: str
    endpoint: str

    def __str__(self) -> str:
        where = f" at {self.endpoint}" if self.endpoint else ""
        return f"this node does not lead; {self.leader} does: call it{where}"


@dataclass
class NoLeader(DomainError):
    """Nobody leads at the moment: an election is going on, or there is no quorum.

    Attributes:
        retry_after_ms: When to try again.
    """

    retry_after_ms: int = 500

    def __str__(self) -> str:
        return "nobody leads the group at the moment; try again, and look at `primacy status` if it stays so"


@dataclass
class StaleFencingToken(DomainError):
    """A newer lease has been granted: the offered token is worth nothing any more."""

    newest: int
    offered: int

    def __str__(self) -> str:
        return f"fencing token {self.offered} is older than {self.newest}; start over, do not retry"


@dataclass
class DependencyUnavailable(DomainError):
    """Something this service needs does not answer.

    Attributes:
        dependency: What: a service and its endpoint, or a store.
        problem: What happened, without secrets.
    """

    dependency: str
    problem: str

    def __str__(self) -> str:
        return f"{self.dependency} is not available: {self.problem}"


@dataclass
class WatcherTooSlow(DomainError):
    """A watcher did not read fast enough and was dropped."""

    pending: int

    def __str__(self) -> str:
        return f"the stream was dropped with {self.pending} changes unread; list, then watch again"


@dataclass
class RevisionCompacted(DomainError):
    """The revision to resume after is no longer kept."""

    oldest: int

    def __str__(self) -> str:
        return f"changes before revision {self.oldest} are not kept; list, then watch again"

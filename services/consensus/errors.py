"""What a caller of consensus can be refused with, beyond the errors that all services share.

The state machine returns these as results (A2): the same on every member, never raised there; `app` raises them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from services.shared.runtime.errors import DomainError, NotLeader


@dataclass
class MemberDoesNotLead(NotLeader):
    """Another member leads.

    Attributes:
        recovery_endpoint: Where the recovery service of the leading node is; empty when not known.
    """

    recovery_endpoint: str = ""

    def __str__(self) -> str:
        return NotLeader.__str__(self)


@dataclass
class LeaseHeld(DomainError):
    """Another session holds the lease."""

    name: str
    member_id: int
    session_id: str
    fencing_token: int

    def __str__(self) -> str:
        return (
            f"lease {self.name} is held by session {self.session_id} beside member {self.member_id} "
            f"under token {self.fencing_token}; it ends when released, or when that session is silent"
        )


@dataclass
class RecoveryOpen(DomainError):
    """The cluster has an open recovery: adopt it, or wait for its end."""

    recovery_id: str
    cluster_id: str
    fencing_token: int

    def __str__(self) -> str:
        return f"cluster {self.cluster_id} has open recovery {self.recovery_id} under token {self.fencing_token}"


@dataclass
class AntiFlapping(DomainError):
    """A recent successful recovery blocks another one.

    Attributes:
        recovery_id: The one that blocks.
        until_ms: When it stops to, in Unix milliseconds by the machine's time (T4).
    """

    recovery_id: str
    until_ms: int

    def __str__(self) -> str:
        return f"blocked by recovery {self.recovery_id} until {self._until()}"

    def facts(self) -> dict[str, str]:
        """Return the facts, the time as text (RFC 3339)."""
        return {"recovery_id": self.recovery_id, "until": self._until()}

    def _until(self) -> str:
        return instant_text(self.until_ms)


@dataclass
class RecoveryUnknown(DomainError):
    """No recovery is recorded under this id."""

    recovery_id: str

    def __str__(self) -> str:
        return f"recovery {self.recovery_id} is not known; list the records"


@dataclass
class RecoveryClosed(DomainError):
    """The recovery has ended and takes no more steps."""

    recovery_id: str

    def __str__(self) -> str:
        return f"recovery {self.recovery_id} is closed"


@dataclass
class StepEnded(DomainError):
    """The step has an outcome already; under the same token it does not start or change again."""

    recovery_id: str
    number: int

    def __str__(self) -> str:
        return f"step {self.number} of recovery {self.recovery_id} has ended; give the next step a number of its own"


@dataclass
class TooManyStops(DomainError):
    """The record has as many stops as are kept."""

    recovery_id: str
    limit: int

    def __str__(self) -> str:
        return f"recovery {self.recovery_id} has {self.limit} stops noted, which is the limit; this one is not kept"


@dataclass
class RequestIdReused(DomainError):
    """The id was used before for something else."""

    request_id: str

    def __str__(self) -> str:
        return f"id {self.request_id} was used before for another request; make a new one"


@dataclass
class Overloaded(DomainError):
    """The leader has too much uncommitted work; nothing was written."""

    retry_after_ms: int = 100

    def __str__(self) -> str:
        return "too many uncommitted commands; nothing was written, try again"


@dataclass
class CommandTooLarge(DomainError):
    """A command is longer than an entry of the log may be; nothing was written."""

    def __str__(self) -> str:
        return "the request is larger than an entry of the log may be; nothing was written"


@dataclass
class OutcomeUnknown(DomainError):
    """Leadership was lost, or the deadline passed, after the command went into the log: it may or may not happen."""

    retry_after_ms: int = 500

    def __str__(self) -> str:
        return "the outcome is not known yet: the command may or may not happen; repeat it with the same id"


@dataclass
class HoldOpen(DomainError):
    """An executor with an older token may still be changing the instance (F5).

    Attributes:
        recovery_id / step: Whose statement it is; its end must be recorded before the instance is touched.
        bound_ms: Longest it may run.
    """

    instance: str
    recovery_id: str
    step: int
    fencing_token: int
    bound_ms: int

    def __str__(self) -> str:
        return (
            f"step {self.step} of recovery {self.recovery_id} may still be changing {self.instance} under token "
            f"{self.fencing_token}; wait for its bound of {self.bound_ms} ms or end its sessions there, then record "
            "the step's outcome"
        )


@dataclass
class Downtimed(DomainError):
    """The failed instance or its cluster is in downtime: automation leaves it alone (F7)."""

    scope: str
    owner: str
    reason: str
    until_ms: int

    def __str__(self) -> str:
        return f"{self.scope} is in downtime until {instant_text(self.until_ms)} ({self.owner}: {self.reason})"

    def facts(self) -> dict[str, str]:
        """Return the facts, the time as text (RFC 3339)."""
        return {"scope": self.scope, "owner": self.owner, "reason": self.reason, "until": instant_text(self.until_ms)}


@dataclass
class RecoveriesDisabled(DomainError):
    """Automatic recoveries are switched off in the whole fleet (F7)."""

    owner: str
    reason: str

    def __str__(self) -> str:
        return f"automatic recoveries are switched off by {self.owner}: {self.reason or 'no reason given'}"


@dataclass
class PolicyChanged(DomainError):
    """The policies are not those the gates were judged by (F7): judge again."""

    newest: int
    offered: int

    def __str__(self) -> str:
        return f"policies changed at log index {self.newest}, after {self.offered}; judge again"


@dataclass
class IndexNotApplied(DomainError):
    """This member has not applied what the caller has seen elsewhere."""

    applied: int
    asked: int
    retry_after_ms: int = 100

    def __str__(self) -> str:
        return f"log index {self.asked} is not applied here, {self.applied} is; try again, or ask another member"


def instant_text(unix_ms: int) -> str:
    """Return Unix milliseconds as text (RFC 3339)."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")

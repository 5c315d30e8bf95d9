"""What a write to the registry, or a call of a session, can be refused with; results of the state machine (A2)."""

from __future__ import annotations

from dataclasses import dataclass

from services.consensus.errors import instant_text
from services.shared.runtime.errors import DomainError, InvalidField


@dataclass
class Contradiction(InvalidField):
    """A value contradicts another one, of the same request or of what is agreed already."""


@dataclass
class ItemUnknown(DomainError):
    """The registry has nothing under this key."""

    kind: str
    key: str

    def __str__(self) -> str:
        return f"there is no {self.kind.replace('_', ' ')} of {self.key}"


@dataclass
class RegistryFull(DomainError):
    """A table of the registry takes no more."""

    table: str
    limit: int

    def __str__(self) -> str:
        return f"{self.table} has {self.limit} rows, which is the limit; delete some"


@dataclass
class MaintenanceHeld(DomainError):
    """Somebody has the instance or the cluster for exclusive work."""

    scope: str
    maintenance_id: int
    owner: str
    until_ms: int

    def __str__(self) -> str:
        return (
            f"{self.scope} is in maintenance {self.maintenance_id} of {self.owner} until {instant_text(self.until_ms)}"
        )

    def facts(self) -> dict[str, str]:
        """Return the facts, the time as text (RFC 3339)."""
        return {
            "scope": self.scope,
            "maintenance_id": str(self.maintenance_id),
            "owner": self.owner,
            "until": instant_text(self.until_ms),
        }


@dataclass
class AliasTaken(DomainError):
    """Another cluster has this alias."""

    alias: str
    cluster_id: str

    def __str__(self) -> str:
        return f"alias {self.alias} is that of cluster {self.cluster_id}"


@dataclass
class SessionUnknown(DomainError):
    """The session is not open, or no more: what its calls did is not known, so they are never carried out."""

    session_id: int

    def __str__(self) -> str:
        return f"session {self.session_id} is not open; open a new one and find out what its calls did"


@dataclass
class SessionSequencePassed(DomainError):
    """The caller said that it has the answer of this call; it is not kept any more."""

    session_id: int
    sequence: int
    acked_below: int

    def __str__(self) -> str:
        return f"session {self.session_id} has acknowledged all calls below {self.acked_below}, {self.sequence} too"


@dataclass
class SessionFull(DomainError):
    """Too many sessions, or too many answers of one."""

    problem: str
    retry_after_ms: int = 1_000

    def __str__(self) -> str:
        return f"{self.problem}; acknowledge answers, or close sessions that are not used"

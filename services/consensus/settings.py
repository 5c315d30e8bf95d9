"""Settings of consensus: `PRIMACY_CONSENSUS_…`."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.consensus.configuration import Configuration, GroupMember, configuration_of
from services.consensus.model import CoreSettings
from services.shared.runtime.settings import Duration, HostPort, ServiceSettings

_GROUPS: Final = uuid.UUID("6f2c1d0e-7a57-4c1c-9f0b-0d4f0c6a5b11")
_MAX_MEMBER_ID: Final = 2**63 - 1
_MAX_MEMBERS: Final = 7


class MemberSettings(BaseModel):
    """One member of the group, as all nodes list it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    member_id: int = Field(ge=1, le=_MAX_MEMBER_ID)
    """Identity, never reused."""
    name: str = Field(min_length=1, max_length=255)
    """Name of the node; equals the name in its certificate."""
    raft_endpoint: HostPort
    """Where its peers reach it."""
    api_endpoint: HostPort
    """Where its API is."""
    recovery_endpoint: str = ""
    """Where the recovery service of the same node is; empty = unknown."""
    site: str = ""
    """Data centre."""


class ConsensusSettings(ServiceSettings):
    """Every knob of consensus. Defaults suit three members within one region."""

    model_config = SettingsConfigDict(env_prefix="PRIMACY_CONSENSUS_", frozen=True, extra="forbid")

    listen: HostPort = "127.0.0.1:50054"
    """Listener of the API."""
    raft_listen: HostPort = "127.0.0.1:50055"
    """Listener for peers only."""
    store_url: str = Field(default="sqlite:///consensus.db", repr=False)
    """Database of this member alone: `sqlite:///file` or `mysql://user:password@host:port/schema`."""
    allow_volatile_store: bool = False
    """Accept a file system that forgets (tmpfs, NFS): tests and demos only."""
    group_name: str = "primacy"
    """Tells groups apart that share a network."""
    members: tuple[MemberSettings, ...] = ()
    """All members, alike on every node; `node` says which one this is. Empty: a group of this member alone."""
    heartbeat: Duration = timedelta(milliseconds=60)
    """Interval of the leader's heartbeats; at most a quarter of `election_min`."""
    election_min: Duration = timedelta(milliseconds=300)
    """Shortest silence of a leader before a member campaigns; at least ten round trips between members."""
    election_max: Duration = timedelta(milliseconds=600)
    """Longest; 1.5 to 3 times `election_min`."""
    clock_drift: float = Field(default=0.01, ge=0.001, lt=0.5)
    """Bound of how much clock rates of members differ, as a fraction."""
    lease_margin: Duration = timedelta(milliseconds=10)
    """Taken off the leader lease for good measure."""
    tick: Duration = timedelta(milliseconds=10)
    """How often timers are looked at."""
    store_slow: Duration = timedelta(milliseconds=250)
    """A write that takes longer makes a warning."""
    store_stall: Duration = timedelta(seconds=2)
    """A write that takes longer ends leadership and health."""
    session_ttl: Duration = timedelta(seconds=3)
    """Silence of a lease's holder after which the leader ends the lease."""
    commit_timeout: Duration = timedelta(seconds=5)
    """Longest wait for a command to be committed; then its outcome is unknown."""

    @model_validator(mode="after")
    def _members_agree(self) -> Self:
        if len(self.members) > _MAX_MEMBERS:
            raise ValueError(f"members: at most {_MAX_MEMBERS}, of which four may be needed for each decision")
        for what in ("member_id", "name", "raft_endpoint", "api_endpoint"):
            values = [getattr(member, what) for member in self.members]
            if len(set(values)) != len(values):
                raise ValueError(f"members: {what} is used twice")
        if self.members and all(member.name != self.node for member in self.members):
            raise ValueError(f"members: none is named {self.node!r}, which is what `node` says this one is")
        self.core()
        return self

    @property
    def group(self) -> tuple[MemberSettings, ...]:
        """All members, by id."""
        alone = MemberSettings(member_id=1, name=self.node, raft_endpoint=self.raft_listen, api_endpoint=self.listen)
        return tuple(sorted(self.members or (alone,), key=lambda member: member.member_id))

    @property
    def member(self) -> MemberSettings:
        """This member."""
        return next(member for member in self.group if member.name == self.node)

    @property
    def group_id(self) -> str:
        """Identity of the group: its name and who was in it at the start (18.1)."""
        listed = ",".join(f"{member.member_id}={member.name}" for member in self.group)
        return str(uuid.uuid5(_GROUPS, f"{self.group_name}:{listed}"))

    def configuration(self) -> Configuration:
        """Return the configuration a blank group begins with (18.1)."""
        return configuration_of(
            GroupMember(
                member.member_id,
                name=member.name,
                raft_endpoint=member.raft_endpoint,
                api_endpoint=member.api_endpoint,
                recovery_endpoint=member.recovery_endpoint,
                site=member.site,
            )
            for member in self.group
        )

    def core(self) -> CoreSettings:
        """Return what the core needs to know.

        Raises:
            ValueError: The durations do not go together (20).
        """
        return CoreSettings(
            member_id=self.member.member_id,
            heartbeat=nanoseconds(self.heartbeat),
            election_min=nanoseconds(self.election_min),
            election_max=nanoseconds(self.election_max),
            clock_drift_ppm=round(self.clock_drift * 1_000_000),
            lease_margin=nanoseconds(self.lease_margin),
            store_stall=nanoseconds(self.store_stall),
        )


def nanoseconds(span: timedelta) -> int:
    """Return a span in whole nanoseconds."""
    return round(span / timedelta(microseconds=1)) * 1_000

"""Settings of consensus: `PRIMACY_CONSENSUS_…`."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.consensus.raft.configuration import (
    DEFAULT_PREFERENCE,
    NO_MEMBERS,
    Configuration,
    GroupMember,
    configuration_of,
)
from services.consensus.raft.model import CoreSettings
from services.consensus.raft.retention import Retention
from services.consensus.state.group_settings import FIRST_GROUP_VERSION, MAX_GROUP_VERSION, GroupSettings
from services.shared.runtime.settings import Duration, Exporter, HostPort, ServiceSettings, Size, parse_host_port

_GROUPS: Final = uuid.UUID("6f2c1d0e-7a57-4c1c-9f0b-0d4f0c6a5b11")
_MAX_MEMBER_ID: Final = 2**63 - 1
_MAX_MEMBERS: Final = 7
_WAN: Final = {"heartbeat": "200ms", "election_min": "1200ms", "election_max": "2400ms"}


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
    preference: int = Field(default=DEFAULT_PREFERENCE, ge=0, le=100)
    """Who tends to lead; 0 votes and never leads. Counts at the first start, later `primacy consensus update`."""

    def described(self) -> GroupMember:
        """Return this member as a group that begins knows it."""
        return GroupMember(
            self.member_id,
            name=self.name,
            raft_endpoint=self.raft_endpoint,
            api_endpoint=self.api_endpoint,
            recovery_endpoint=self.recovery_endpoint,
            site=self.site,
            preference=self.preference,
        )


class ConsensusSettings(ServiceSettings):
    """Every knob of consensus. Defaults suit three members within one region."""

    model_config = SettingsConfigDict(env_prefix="PRIMACY_CONSENSUS_", frozen=True, extra="forbid")

    listen: HostPort = "127.0.0.1:50054"
    """Listener of the API."""
    raft_listen: HostPort = "127.0.0.1:50055"
    """Listener for peers only."""
    store_url: str = Field(default="sqlite:///consensus.db", repr=False)
    """Database of this member alone: `sqlite:///file` or `mysql://user:password@host:port/schema`."""
    acknowledged_file: Path | None = None
    """File that says what this member has acknowledged, which tells an old copy of its database from the real one. Best
    in a directory that is not backed up and restored together with the database; unset = beside it, and with MySQL in
    the working directory."""
    allow_volatile_store: bool = False
    """Accept a file system that forgets (tmpfs, NFS): tests and demos only."""
    group_name: str = "primacy"
    """Tells groups apart that share a network."""
    members: tuple[MemberSettings, ...] = ()
    """All members, alike on every node; `node` says which one this is. Empty: a group of this member alone. Counts at
    the first start only: later the group itself knows who is in it."""
    join: bool = False
    """Wait to be added to a group that exists, instead of making one. Needs `member_id`; `members` stays empty."""
    member_id: int = Field(default=0, ge=0, le=_MAX_MEMBER_ID)
    """Id this member is added under (`primacy consensus add`); never one that was used before. Only with `join`."""
    raft_endpoint: str = ""
    """Where peers reach a member that joins; empty = `raft_listen`."""
    api_endpoint: str = ""
    """Where the API of a member that joins is; empty = `listen`."""
    profile: Literal["lan", "wan"] = "lan"
    """`wan`: timers for members in distant data centres, where they are not given: 200 ms, 1.2 s, 2.4 s."""
    heartbeat: Duration = timedelta(milliseconds=60)
    """Interval of the leader's heartbeats; at most a quarter of `election_min`. A setting of the group: see
    `primacy consensus settings`; this value holds until one is set there. So do the next three."""
    election_min: Duration = timedelta(milliseconds=300)
    """Shortest silence of a leader before a member campaigns; at least ten round trips between members."""
    election_max: Duration = timedelta(milliseconds=600)
    """Longest; 1.5 to 3 times `election_min`."""
    clock_drift: float = Field(default=0.01, ge=0.001, lt=0.5)
    """Bound of how much clock rates of members differ, as a fraction."""
    lease_margin: Duration = timedelta(milliseconds=10)
    """Taken off the leader lease for good measure; at least `tick`."""
    tick: Duration = timedelta(milliseconds=10)
    """How often timers are looked at."""
    max_inflight: int = Field(default=64, ge=1)
    """Unanswered messages with entries to one peer."""
    max_batch: int = Field(default=1024, ge=1)
    """Entries in one message."""
    max_uncommitted: Size = 16 << 20
    """Uncommitted commands the leader takes before it refuses more."""
    store_slow: Duration = timedelta(milliseconds=250)
    """A write that takes longer makes a warning."""
    store_stall: Duration = timedelta(seconds=2)
    """A write that takes longer ends leadership and health."""
    store_fatal: Duration = timedelta(seconds=60)
    """A database that does not answer for so long ends the process (exit 75)."""
    store_ballast: Size = 16 << 20
    """Kept in reserve beside a SQLite store, so that it can be tidied when the disk is full."""
    store_room: Size = 64 << 20
    """Must be free before a SQLite store is used again once the disk was full."""
    snapshot_entries: int = Field(default=10_000, ge=1)
    """Entries since the last compaction that make one worthwhile."""
    trailing_entries: int = Field(default=5_000, ge=0)
    """Entries kept for members that lag a little."""
    max_log: Size = 256 << 20
    """Size of the log up to which members that lag, and were heard within ten minutes, are waited for."""
    snapshot_bandwidth: Size = 32 << 20
    """Bytes a second that snapshots may take."""
    session_ttl: Duration = timedelta(seconds=3)
    """Silence of a lease's holder, or of a session, after which the leader ends it."""
    readiness_grace: Duration = timedelta(seconds=3)
    """Silence of this node's recovery after which the member counts as not ready to lead. A member whose configuration
    names no `recovery_endpoint` is always ready."""
    transfer_drain: Duration = timedelta(seconds=5)
    """Longest wait of a transfer for running steps of recoveries."""
    preference_stable: Duration = timedelta(seconds=30)
    """How long a member of higher preference is ready and caught up before it is given leadership."""
    commit_timeout: Duration = timedelta(seconds=5)
    """Longest wait for a command to be committed; then its outcome is unknown."""
    auto_promote: bool = True
    """As leader, let members vote that were added for it, as soon as they have caught up."""
    version_stable: Duration = timedelta(minutes=10)
    """How long all voters speak a newer version before the leader has the group speak it, unasked; until then a
    release can be rolled back."""
    max_group_version: int = Field(default=MAX_GROUP_VERSION, ge=FIRST_GROUP_VERSION)
    """Newest group version this member says it speaks. For tests of upgrades: it says so, and knows no more by it."""
    auto_rejoin: bool = False
    """When this member may not trust its store any more (14.6) and the rest of the group is well: set the store aside
    and come back by itself, blank, under a new id. Otherwise an operator replaces it."""
    metrics_listen: str = ""
    """Where Prometheus reads metrics (`127.0.0.1:50056`); empty = nowhere."""
    spans_exporter: Exporter = ""
    """Where spans of calls that bring a trace go: the name of an installed exporter of OpenTelemetry
    (`otlp_proto_grpc`, `console`), which reads its own settings; empty = nowhere."""
    trace_file: Path | None = None
    """Append to this file what the core does, for the offline check of the invariants. For tests: it only grows."""

    @model_validator(mode="before")
    @classmethod
    def _profile_fills_in(cls, values: dict[str, object]) -> dict[str, object]:
        return {**_WAN, **values} if values.get("profile") == "wan" else values

    @model_validator(mode="after")
    def _members_agree(self) -> Self:
        if len(self.members) > _MAX_MEMBERS:
            raise ValueError(f"members: at most {_MAX_MEMBERS}, of which four may be needed for each decision")
        for what in ("member_id", "name", "raft_endpoint", "api_endpoint"):
            values = [getattr(member, what) for member in self.members]
            if len(set(values)) != len(values):
                raise ValueError(f"members: {what} is used twice")
        if self.members and not self.join and all(member.name != self.node for member in self.members):
            raise ValueError(
                f"members: none is named {self.node!r}, which is what `node` says this one is; "
                "a member that is to be added to a group starts with `join`"
            )
        return self

    @model_validator(mode="after")
    def _join_is_whole(self) -> Self:
        if self.join and self.members:
            raise ValueError("members: are those of a new group; a member that joins learns them")
        if self.join and not self.member_id:
            raise ValueError("join: needs member_id, the id this member is added under")
        if self.member_id and not self.join:
            raise ValueError("member_id: goes with join; members of a new group have their ids in `members`")
        return self

    @model_validator(mode="after")
    def _durations_agree(self) -> Self:
        if self.election_max * 2 < self.election_min * 3:
            raise ValueError("election_max must be at least one and a half times election_min")
        if self.lease_margin < self.tick:
            raise ValueError("lease_margin must be at least one tick")
        if self.metrics_listen:
            parse_host_port(self.metrics_listen)
        self.core()
        return self

    @property
    def group(self) -> tuple[MemberSettings, ...]:
        """Members of a new group, by id; of one that is joined, nobody is known."""
        if self.join:
            return ()
        return tuple(sorted(self.members or (self._alone(1),), key=lambda member: member.member_id))

    @property
    def member(self) -> MemberSettings:
        """This member, as it starts."""
        if self.join:
            return self._alone(self.member_id)
        return next(member for member in self.group if member.name == self.node)

    def rejoined(self, member_id: int) -> ConsensusSettings:
        """Return the settings of this node as a member that is to be added under another id (14.6)."""
        myself = self.member
        changed = {
            "join": True,
            "member_id": member_id,
            "members": (),
            "raft_endpoint": myself.raft_endpoint,
            "api_endpoint": myself.api_endpoint,
        }
        return self.model_copy(update=changed)

    def _alone(self, member_id: int) -> MemberSettings:
        return MemberSettings(
            member_id=member_id,
            name=self.node,
            raft_endpoint=self.raft_endpoint or self.raft_listen,
            api_endpoint=self.api_endpoint or self.listen,
        )

    @property
    def group_id(self) -> str:
        """Identity of the group: its name and who was in it at the start (18.1); empty = that of the joined group."""
        if self.join:
            return ""
        listed = ",".join(f"{member.member_id}={member.name}" for member in self.group)
        return str(uuid.uuid5(_GROUPS, f"{self.group_name}:{listed}"))

    def configuration(self) -> Configuration:
        """Return the configuration a blank group begins with (18.1); of one that is joined, nobody is known."""
        if self.join:
            return NO_MEMBERS
        return configuration_of(member.described() for member in self.group)

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
            max_inflight=self.max_inflight,
            max_batch=self.max_batch,
            max_uncommitted=self.max_uncommitted,
        )

    def retention(self) -> Retention:
        """Return how long the log may get (N1)."""
        return Retention(self.snapshot_entries, trailing_entries=self.trailing_entries, max_log=self.max_log)

    def timing(self) -> GroupSettings:
        """Return the timers that hold until the group agrees on others (18.5)."""
        core = self.core()
        return GroupSettings(core.heartbeat, core.election_min, core.election_max, core.clock_drift_ppm)


def nanoseconds(span: timedelta) -> int:
    """Return a span in whole nanoseconds."""
    return round(span / timedelta(microseconds=1)) * 1_000

"""Settings of recovery: every knob, its unit, its default and why."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.recovery.model import Policy
from services.shared.runtime.settings import Duration, HostPort, ServiceSettings


class RecoverySettings(ServiceSettings):
    """What recovery can be told, as `PRIMACY_RECOVERY_<NAME>`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="PRIMACY_RECOVERY_")

    listen: HostPort = "127.0.0.1:50053"
    """Where the API listens; port 0 takes any free one."""
    discovery_endpoint: HostPort = "127.0.0.1:50051"
    """Discovery of this node."""
    analysis_endpoint: HostPort = "127.0.0.1:50052"
    """Analysis of this node."""
    consensus_endpoint: HostPort = "127.0.0.1:50054"
    """Consensus of this node: on the same host, because lease times are compared by the host's clock."""
    stream_silence: Duration = timedelta(seconds=5)
    """A stream that says nothing for so long is dead; the other services speak at least once a second."""

    mysql_user: str = "primacy"
    """Account that changes servers: replication administration, read_only, KILL, SELECT on performance_schema."""
    mysql_password_file: Path | None = None
    """File with its password; None: no password."""
    mysql_tls: bool = False
    """Connect by TLS; one context serves all connections."""
    mysql_tls_ca_file: Path | None = None
    """Authorities of the servers' certificates, PEM; None: certificates are not verified."""

    policy: Policy = Policy.ACT
    """`observe`: never change a server, whoever asks. `act`: recover, automatically and on request."""
    block_period: Duration = timedelta(hours=1)
    """After a completed promotion no automatic one follows in the same cluster for so long (anti-flapping)."""
    drain_timeout: Duration = timedelta(seconds=10)
    """Longest time to wait for the chosen replica to apply what it received."""
    fence_timeout: Duration = timedelta(milliseconds=100)
    """Longest time for a failed primary to answer the attempt to fence it; a hung one delays the failover by this."""
    connect_timeout: Duration = timedelta(seconds=1)
    """Longest time to connect to a replica."""
    freeze_timeout: Duration = timedelta(seconds=1)
    """Longest time for a replica to stop receiving; one that takes longer is left behind."""
    statement_timeout: Duration = timedelta(seconds=5)
    """Longest time for any other statement that changes a server. At most half of the shortest hold that covers it."""
    connect_wait: Duration = timedelta(seconds=3)
    """How long a re-pointed replica may take to connect to the new primary."""

    planning_policy_file: Path | None = None
    """What steers the choice of a successor: a `PlanningPolicy` in protobuf JSON, such as
    `{"prevent_cross_region": true}`; read at the start. None: the defaults."""

    audit_file: Path | None = None
    """Append here, beside the log, what was stopped in the middle because the lease was lost. None: the log only."""

    server_lane: Annotated[int, Field(ge=1)] = 16
    """Threads that talk to replicas and successors."""
    fence_lane: Annotated[int, Field(ge=1)] = 4
    """Threads that talk to failed primaries, so that the others never queue behind a hung one."""

    @model_validator(mode="after")
    def _times_make_sense(self) -> Self:
        for name in ("drain_timeout", "fence_timeout", "connect_timeout", "freeze_timeout", "statement_timeout"):
            if getattr(self, name) <= timedelta():
                raise ValueError(f"{name} must be longer than nothing")
        if self.statement_timeout > timedelta(seconds=5) or self.freeze_timeout > timedelta(seconds=2):
            raise ValueError("statement_timeout is at most 5s and freeze_timeout at most 2s, to fit the holds")
        return self

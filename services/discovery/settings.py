"""Settings of discovery: every knob, its unit, its default and why."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.shared.runtime.settings import Duration, HostPort, ServiceSettings


class DiscoverySettings(ServiceSettings):
    """What discovery can be told, as `PRIMACY_DISCOVERY_<NAME>`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="PRIMACY_DISCOVERY_")

    # Serving and storing.
    listen: HostPort = "127.0.0.1:50051"
    """Where to serve."""
    consensus_endpoint: HostPort | None = None
    """Consensus of this node, whose directory gives cluster ids and epochs. None: alone."""
    store_url: str = "sqlite:///discovery.db"
    """SQLAlchemy URL of the store of last known instances: SQLite, or `mysql+pymysql://`."""
    store_delay: Duration = timedelta(seconds=3)
    """Changes of positions and lag are written at most so often."""

    # Finding servers and their names.
    seeds: tuple[HostPort, ...] = ()
    """Servers to start from, JSON list of `host:port`; one per topology is enough."""

    # Connections to servers.
    mysql_user: str = "primacy"
    """Account of the probes: REPLICATION CLIENT, REPLICATION SLAVE, PROCESS, and SELECT on performance_schema."""
    mysql_password_file: Path | None = None
    """File with its password; None: no password."""
    mysql_tls: bool = False
    """Probe by TLS; one context serves all connections."""
    mysql_tls_ca_file: Path | None = None
    """Authorities of the servers' certificates, PEM; None: certificates are not verified."""
    connect_timeout: Duration = timedelta(seconds=1)
    """Longest time to connect to a server."""

    # Probes and their lanes.
    probe_timeout: Duration = timedelta(milliseconds=1500)
    """Deadline of a whole routine probe; then its connection is closed."""
    healthy_lane: Annotated[int, Field(ge=1)] = 16
    """Threads that probe servers that answered last time, and are no primaries; those and bursts have their own."""
    suspect_lane: Annotated[int, Field(ge=1)] = 16
    """Threads that probe the others, so that the healthy never queue behind the hung."""

    # Schedule.
    poll: Duration = timedelta(seconds=5)
    """Between two probes of a server that answers. Failures are noticed by suspicion, long before the next poll."""
    primary_poll: Duration = timedelta(seconds=1)
    """The same for a server that takes writes, answering or not: hanging, or coming back, must not wait for `poll`."""
    poll_jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of `poll` by which each wait is varied, so that probes spread out."""
    full_probe_period: Duration = timedelta(seconds=60)
    """How often what rarely changes (settings, names, semi-sync plugins) is read again."""
    dead_poll_max: Duration = timedelta(seconds=15)
    """Longest wait between probes of a server that does not answer; waits start at 1 s and grow by half."""

    # Suspicion.
    slow_after: Duration = timedelta(milliseconds=500)
    """A routine probe without answer for so long makes its server suspect, before it has failed."""
    burst_timeout: Duration = timedelta(milliseconds=500)
    """Deadline of each probe of a burst. A hung server is slow to say so, a killed one is not."""
    burst_length: Duration = timedelta(seconds=2)
    """Longest time that a suspicion is followed by a burst."""
    hung_burst_length: Duration = timedelta(seconds=15)
    """The same while the suspect does not answer and replicas still claim to receive from it: until they tell."""
    burst_limit: Annotated[int, Field(ge=1)] = 32
    """Most bursts at a time; further suspicions wait, primaries first, and a leaf's burst gives way to a primary's."""

    # What counts as a problem.
    check_grace: Duration = timedelta(seconds=1)
    """How much longer than `poll` a hanging probe leaves the last reading valid."""
    lag_limit: Duration = timedelta(seconds=10)
    """Lag, beyond a configured delay, from which a replica has the problem REPLICATION_LAG."""

    # Classification.
    data_center_query: str = ""
    """Query with one column, the data centre of the server it runs on; empty: unknown."""
    promotion_rule_query: str = ""
    """Query with one column, `must`, `prefer`, `neutral`, `prefer_not` or `must_not`; empty: neutral."""

    @model_validator(mode="after")
    def _times_make_sense(self) -> Self:
        for name in ("poll", "primary_poll", "connect_timeout", "probe_timeout", "burst_timeout", "full_probe_period"):
            if getattr(self, name) <= timedelta():
                raise ValueError(f"{name} must be longer than nothing")
        for name in ("data_center_query", "promotion_rule_query"):
            query = getattr(self, name).rstrip("; \n")
            if ";" in query or re.search(r"--(\s|$)", query):
                raise ValueError(f"{name} must be one statement: write it without ';' inside and without '--' comment")
        return self

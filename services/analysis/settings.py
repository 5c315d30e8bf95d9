"""Settings of the analysis service."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, PositiveInt
from pydantic_settings import SettingsConfigDict

from services.analysis.model import Limits
from services.shared.runtime.settings import Duration, HostPort, ServiceSettings, parse_duration


def _check_pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None
    return text


Pattern = Annotated[str, AfterValidator(_check_pattern)]


class AnalysisSettings(ServiceSettings):
    """Every knob of analysis; variables are `PRIMACY_ANALYSIS_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="PRIMACY_ANALYSIS_")

    listen: HostPort = "127.0.0.1:50052"
    """Where the API listens; port 0 takes any free one."""
    discovery_endpoint: HostPort = "127.0.0.1:50051"
    """The discovery service of this node."""
    discovery_silence: Duration = parse_duration("3s")
    """A discovery stream that says nothing for this long is dead; discovery speaks at least once a second."""
    watcher_limit: PositiveInt = 1000
    """Changes a watcher may leave unread before it is dropped; bounds what a stuck reader costs in memory."""
    reasonable_replication_lag: Duration = parse_duration("10s")
    """A replica that lags more than this is lagging."""
    reasonable_locked_semi_sync: Duration | None = None
    """How long the binary log of a primary that waits for semi-synchronous replicas must stand still before it counts
    as locked. Unset or zero: `reasonable_replication_lag`."""
    enforce_exact_semi_sync_replicas: bool = False
    """More semi-synchronous replicas than the primary waits for are a finding."""
    recover_non_writeable_primary: bool = False
    """A read-only primary is a finding."""
    reduce_analysis_count: bool = True
    """Leave healthy instances that nobody reads from out of the analysis."""
    recovery_ignore_hostname_filters: tuple[Pattern, ...] = ()
    """JSON list of regular expressions; instances on a host that one of them is found in are never told of."""

    @property
    def limits(self) -> Limits:
        """Where the rules draw their lines."""
        return Limits(
            lag=self.reasonable_replication_lag,
            locked_semi_sync=self.reasonable_locked_semi_sync,
            enforce_exact_semi_sync_replicas=self.enforce_exact_semi_sync_replicas,
            recover_non_writeable_primary=self.recover_non_writeable_primary,
            reduce=self.reduce_analysis_count,
            ignored_hosts=self.recovery_ignore_hostname_filters,
        )

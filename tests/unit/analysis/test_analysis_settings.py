"""Settings of analysis."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.analysis.model import Limits
from services.analysis.settings import AnalysisSettings


def test_defaults_are_those_of_the_reference() -> None:
    assert AnalysisSettings(_env_file=None).limits == Limits(  # type: ignore[call-arg]
        lag=timedelta(seconds=10),
        locked_semi_sync=None,
        enforce_exact_semi_sync_replicas=False,
        recover_non_writeable_primary=False,
    )


@pytest.mark.parametrize(
    ("locked_semi_sync", "seconds"),
    [(None, 7), (timedelta(), 7), (timedelta(seconds=3), 3)],
    ids=["unset", "zero", "set"],
)
def test_standstill_falls_back_to_the_lag_limit(locked_semi_sync: timedelta | None, seconds: int) -> None:
    limits = Limits(lag=timedelta(seconds=7), locked_semi_sync=locked_semi_sync)
    assert limits.standstill == timedelta(seconds=seconds)


def test_knobs_reach_the_rules() -> None:
    settings = AnalysisSettings(
        reasonable_replication_lag="3s",  # type: ignore[arg-type]
        reasonable_locked_semi_sync="1500ms",  # type: ignore[arg-type]
        enforce_exact_semi_sync_replicas=True,
        recover_non_writeable_primary=True,
    )
    assert settings.limits == Limits(timedelta(seconds=3), timedelta(seconds=1.5), True, True)

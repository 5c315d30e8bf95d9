"""The store's health as its writes and reports tell it (8.6)."""

from __future__ import annotations

import pytest

from services.consensus.ports import Broken, Probed, Report, Trouble, Written
from services.consensus.raft.model import MILLISECOND, StoreHealth
from services.consensus.store_health import StoreWatch

SLOW = 250 * MILLISECOND
STALL = 2_000 * MILLISECOND


@pytest.fixture
def watch() -> StoreWatch:
    """A watch with one write under way since time 0."""
    watch = StoreWatch(SLOW, STALL)
    watch.submitted(0)
    return watch


@pytest.mark.parametrize(
    ("age", "health"),
    [
        pytest.param(SLOW, StoreHealth.OK, id="in-time"),
        pytest.param(SLOW + 1, StoreHealth.SLOW, id="slow"),
        pytest.param(STALL, StoreHealth.SLOW, id="still-slow"),
        pytest.param(STALL + 1, StoreHealth.STALLED, id="stalled"),
    ],
)
def test_age_of_the_oldest_write_decides(watch: StoreWatch, age: int, health: StoreHealth) -> None:
    watch.submitted(age - 1)
    watch.tick(age)
    assert watch.health is health


def test_store_without_writes_is_never_slow() -> None:
    watch = StoreWatch(SLOW, STALL)
    watch.tick(10 * STALL)
    assert watch.health is StoreHealth.OK


def test_slow_write_that_ends_is_forgiven_at_once(watch: StoreWatch) -> None:
    watch.tick(SLOW + 1)
    assert watch.reported(Written(7, 1), SLOW + 2) == 7
    assert watch.health is StoreHealth.OK


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(Trouble(StoreHealth.FULL, "disk is full"), id="full"),
        pytest.param(Trouble(StoreHealth.FAILED, "connection lost"), id="lost"),
        pytest.param(Broken("disk I/O error"), id="broken"),
    ],
)
def test_reported_trouble_ends_usability_and_says_why(watch: StoreWatch, report: Trouble | Broken) -> None:
    watch.reported(report, 1)
    assert not watch.health.usable
    assert watch.problem == report.problem


def test_busy_database_is_only_named_until_the_write_stalls(watch: StoreWatch) -> None:
    watch.reported(Trouble(StoreHealth.SLOW, "database is locked"), 1)
    assert watch.health is StoreHealth.OK
    watch.tick(STALL + 1)
    assert (watch.health, watch.problem) == (StoreHealth.STALLED, "database is locked")


@pytest.mark.parametrize(
    ("probes_ms", "health"),
    [
        pytest.param((99, 99), StoreHealth.FULL, id="two-good-ones"),
        pytest.param((99, 99, 99), StoreHealth.OK, id="three-good-ones"),
        pytest.param((99, 101, 99, 99), StoreHealth.FULL, id="interrupted-by-a-slow-one"),
        pytest.param((101, 99, 99, 99), StoreHealth.OK, id="three-good-ones-in-the-end"),
    ],
)
def test_way_back_is_three_good_probes_in_a_row(
    watch: StoreWatch, probes_ms: tuple[int, ...], health: StoreHealth
) -> None:
    watch.reported(Trouble(StoreHealth.FULL, "disk is full"), 1)
    watch.reported(Written(1, 1), 2)
    for number, probe_ms in enumerate(probes_ms, start=3):
        assert watch.take_probes() == 1
        watch.reported(Probed(probe_ms * MILLISECOND), number)
    assert watch.health is health
    assert watch.take_probes() == (0 if health is StoreHealth.OK else 1)


def test_change_is_told_once(watch: StoreWatch) -> None:
    assert watch.take_change() is None
    watch.tick(STALL + 1)
    assert watch.take_change() is StoreHealth.STALLED
    assert watch.take_change() is None


@pytest.mark.parametrize("report", [pytest.param(Written(0, 1), id="rows-only"), pytest.param(Probed(1), id="probe")])
def test_only_batches_make_something_durable(watch: StoreWatch, report: Report) -> None:
    assert watch.reported(report, 1) is None

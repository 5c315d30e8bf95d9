"""Whether a node could act if its member led (8.3)."""

from __future__ import annotations

from services.consensus.readiness import Readiness

GRACE = 3_000


def test_recovery_that_is_not_heard_makes_the_member_unready_after_the_grace() -> None:
    readiness = Readiness(GRACE, now=0)
    assert readiness.judge(GRACE, expected=True)
    assert not readiness.judge(GRACE + 1, expected=True)


def test_group_without_recoveries_is_ready() -> None:
    assert Readiness(GRACE, now=0).judge(10 * GRACE, expected=False)


def test_recovery_that_was_heard_once_is_missed_even_where_none_is_configured() -> None:
    readiness = Readiness(GRACE, now=0)
    readiness.beat(100, able=True)
    assert readiness.judge(100 + GRACE, expected=False)
    assert not readiness.judge(101 + GRACE, expected=False)


def test_each_beat_prolongs_readiness() -> None:
    readiness = Readiness(GRACE, now=0)
    for now in range(0, 10 * GRACE, GRACE):
        readiness.beat(now, able=True)
        assert readiness.judge(now + GRACE, expected=True)


def test_recovery_that_lives_but_cannot_work_counts_as_silent() -> None:
    readiness = Readiness(GRACE, now=0)
    readiness.beat(1_000, able=True)
    for now in range(1_100, 10_000, 1_000):
        readiness.beat(now, able=False)
    assert not readiness.judge(4_001, expected=True)
    readiness.beat(10_000, able=True)
    assert readiness.judge(10_000, expected=True)

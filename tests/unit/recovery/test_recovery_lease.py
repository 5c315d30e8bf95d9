"""When a statement may be sent under the lease, and when not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import pytest

from services.recovery.lease import MARGIN_NS, LeaseGuard, LeaseState, outlasting_ns, why_not
from services.recovery.model import LeaseLost

MS: Final = 1_000_000
PINNED: Final = LeaseState(token=41, lease_seq=3, valid_until_ns=1000 * MS, boot_id="here")


def ask(state: LeaseState | None = PINNED, **facts: Any) -> str:
    return why_not(state, PINNED, **{"boot_id": "here", "now_ns": 800 * MS, "bound_ns": 100 * MS, **facts})


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({}, id="fits"),
        pytest.param({"bound_ns": 200 * MS - MARGIN_NS - 1}, id="fits by a nanosecond"),
        pytest.param({"bound_ns": 900 * MS, "hold_until_ns": 1700 * MS + 1}, id="fits the hold"),
    ],
)
def test_statement_is_allowed_when_it(facts: dict[str, Any]) -> None:
    assert ask(**facts) == ""


@pytest.mark.parametrize(
    ("state", "facts", "reason"),
    [
        pytest.param(None, {}, "lost", id="lost"),
        pytest.param(LeaseState(42, 3, 1000 * MS, "here"), {}, "token 42", id="another token"),
        pytest.param(LeaseState(41, 4, 1000 * MS, "here"), {}, "lapsed", id="lapsed in between"),
        pytest.param(LeaseState(41, 3, 1000 * MS, "there"), {}, "another host", id="clock of another host"),
        pytest.param(PINNED, {"boot_id": "rebooted"}, "another host", id="clock of another boot"),
        pytest.param(PINNED, {"bound_ns": 200 * MS - MARGIN_NS}, "no hold", id="ends with the margin"),
        pytest.param(PINNED, {"now_ns": 1000 * MS - MARGIN_NS, "bound_ns": 0}, "run out", id="within the margin"),
        pytest.param(
            PINNED, {"now_ns": 1001 * MS, "hold_until_ns": 9000 * MS}, "run out", id="a hold is no lease at the start"
        ),
        pytest.param(
            PINNED, {"bound_ns": 900 * MS, "hold_until_ns": 1700 * MS}, "within the hold", id="outlasts the hold"
        ),
    ],
)
def test_statement_is_refused_when_the_lease_is(state: LeaseState | None, facts: dict[str, Any], reason: str) -> None:
    assert reason in ask(state, **facts)


def test_guard_sees_the_lease_as_it_is_at_the_moment_of_the_check() -> None:
    state: list[LeaseState | None] = [PINNED]
    guard = LeaseGuard(lambda: state[0], PINNED, "here", lambda: 900 * MS)
    guard.check(10 * MS)
    state[0] = None
    with pytest.raises(LeaseLost, match="lost"):
        guard.check(10 * MS)


@pytest.mark.parametrize(
    ("state", "now_ms", "reason"),
    [
        pytest.param(PINNED, 999, "", id="lasts to its last moment"),
        pytest.param(PINNED, 1000, "run out", id="ran out"),
        pytest.param(None, 800, "lost", id="lost"),
        pytest.param(LeaseState(41, 4, 2000 * MS, "here"), 800, "lapsed", id="lapsed and came back"),
        pytest.param(LeaseState(42, 3, 2000 * MS, "here"), 800, "token 42", id="another token"),
    ],
)
def test_work_must_stop_when_the_lease_it_began_under(state: LeaseState | None, now_ms: int, reason: str) -> None:
    guard = LeaseGuard(lambda: state, PINNED, "here", lambda: now_ms * MS)
    assert reason in guard.lost()
    assert bool(guard.lost()) == bool(reason)


def test_lease_that_is_handed_over_is_good_for_the_step_that_runs() -> None:
    draining = LeaseState(41, 3, 1000 * MS, "here", draining=True)
    guard = LeaseGuard(lambda: draining, PINNED, "here", lambda: 800 * MS)
    assert guard.draining
    guard.check(100 * MS)


def test_hold_of_another_host_is_stretched_by_what_clocks_may_differ() -> None:
    assert outlasting_ns(timedelta(seconds=99)) == 101_000 * MS

"""When a statement may be sent under the lease, and when not."""

from __future__ import annotations

from typing import Any, Final

import pytest

from services.recovery.lease import MARGIN_NS, LeaseGuard, LeaseState, why_not
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

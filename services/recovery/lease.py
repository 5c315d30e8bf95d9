"""For how long the lease `recovery` may be relied upon: the check before each statement (rule F4). Pure arithmetic.

A statement is allowed when the token is ours, the lease has not lapsed since the work began (`lease_seq` is the pinned
one), the clocks compare (same boot of the same host), and the lease outlasts the statement's bound by a margin. A
statement whose bound does not fit needs a hold that was committed with the intent of its step (rule F5): then the lease
must be valid when the statement starts, and the statement must end within the hold.

While consensus hands leadership over (section 8.1) the lease stays good for the step that runs, and for no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.recovery.model import LeaseLost

MARGIN_NS: Final = 20_000_000
"""By how much the lease must outlast a statement (rule F4)."""
_DRIFT_PPM: Final = 10_000
"""Bound of how much the rates of two clocks differ, in millionths (section 7)."""


def nanoseconds(span: timedelta) -> int:
    """Return a span in nanoseconds."""
    return span // timedelta(microseconds=1) * 1000


def outlasting_ns(hold: timedelta) -> int:
    """Return for how long a hold of another host's executor may last by our clock: `bound * (1+ρ)/(1-ρ)` (rule F5)."""
    return nanoseconds(hold) * (1_000_000 + _DRIFT_PPM) // (1_000_000 - _DRIFT_PPM)


@dataclass(frozen=True, slots=True)
class LeaseState:
    """The lease as consensus last told.

    Attributes:
        token: Fencing token of the grant.
        lease_seq: Grows when validity returns after a lapse.
        valid_until_ns: End of validity, on `CLOCK_BOOTTIME` of the leader's host.
        boot_id: Identity of that host's boot.
        draining: Leadership is being handed over: the running step may end, no other begins (section 8.1).
    """

    token: int
    lease_seq: int
    valid_until_ns: int
    boot_id: str
    draining: bool = False


def why_lost(state: LeaseState | None, pinned: LeaseState, *, boot_id: str, now_ns: int) -> str:
    """Return why work must stop at once (rule F8), in a sentence; empty while the lease it began under lasts."""
    if state is None:
        return "the lease is lost"
    if state.token != pinned.token:
        return f"the lease is under token {state.token} now, not {pinned.token}"
    if state.lease_seq != pinned.lease_seq:
        return "the lease has lapsed since the work began"
    if state.boot_id != boot_id:
        return "the lease is told by the clock of another host"
    return "the lease has run out" if now_ns >= state.valid_until_ns else ""


def why_not(
    state: LeaseState | None,
    pinned: LeaseState,
    *,
    boot_id: str,
    now_ns: int,
    bound_ns: int,
    hold_until_ns: int | None = None,
) -> str:
    """Return why a statement may not be sent now, in a sentence; empty when it may.

    Args:
        state: The lease as last told; None = lost.
        pinned: The lease as it was when the work began.
        boot_id: Identity of this host's boot.
        now_ns: This host's `CLOCK_BOOTTIME`.
        bound_ns: Longest time the statement may take.
        hold_until_ns: End of the hold in the step's intent, on the same clock; None = there is none.
    """
    lost = why_lost(state, pinned, boot_id=boot_id, now_ns=now_ns + MARGIN_NS)
    if lost or state is None:
        return lost
    if now_ns + bound_ns + MARGIN_NS < state.valid_until_ns:
        return ""
    if hold_until_ns is None:
        return "the lease does not outlast the statement, and no hold was committed for it"
    return "" if now_ns + bound_ns < hold_until_ns else "the statement does not end within the hold committed for it"


class LeaseGuard:
    """The lease as one piece of work relies on it. `check` is for any thread; nothing waits in it."""

    def __init__(
        self, current: Callable[[], LeaseState | None], pinned: LeaseState, boot_id: str, clock_ns: Callable[[], int]
    ) -> None:
        """Pin the lease.

        Args:
            current: Returns the lease as last told.
            pinned: The lease now, when the work begins.
            boot_id: Identity of this host's boot.
            clock_ns: `CLOCK_BOOTTIME` in nanoseconds.
        """
        self._current = current
        self._pinned = pinned
        self._boot_id = boot_id
        self._clock_ns = clock_ns

    @property
    def token(self) -> int:
        """The fencing token the work is done under."""
        return self._pinned.token

    @property
    def draining(self) -> bool:
        """Whether the running step is the last one: leadership is being handed over (section 8.1)."""
        state = self._current()
        return state is not None and state.draining

    def now_ns(self) -> int:
        """Return the time of the clock that the lease is compared with."""
        return self._clock_ns()

    def lost(self) -> str:
        """Return why the work must stop at once, in a sentence; empty while the lease lasts (rule F8)."""
        return why_lost(self._current(), self._pinned, boot_id=self._boot_id, now_ns=self._clock_ns())

    def check(self, bound_ns: int, hold_until_ns: int | None = None) -> None:
        """Return if a statement of at most `bound_ns` may be sent now; send it without waiting for anything.

        Raises:
            LeaseLost: It may not; says why.
        """
        problem = why_not(
            self._current(),
            self._pinned,
            boot_id=self._boot_id,
            now_ns=self._clock_ns(),
            bound_ns=bound_ns,
            hold_until_ns=hold_until_ns,
        )
        if problem:
            raise LeaseLost(problem)

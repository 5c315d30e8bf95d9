"""Sessions of programs that nobody hears of any more (P3)."""

from __future__ import annotations

from services.consensus.state.sessions import Session
from services.consensus.upkeep import SilentSessions

TTL = 3_000


def session(session_id: int, last_index: int) -> Session:
    return Session(session_id, "owner", acked_below=1, last_index=last_index, touch_ms=0)


def test_session_is_silent_after_its_time_to_live_without_an_entry_of_its_own() -> None:
    silent = SilentSessions(TTL)
    quiet, busy = session(1, 10), session(2, 11)
    assert silent.take([quiet, busy], now=0) == ()
    assert silent.take([quiet, session(2, 15)], now=2_000) == ()
    assert silent.take([quiet, session(2, 15)], now=3_001) == (quiet,)
    assert silent.take([session(2, 15)], now=5_001) == (session(2, 15),)


def test_new_leader_gives_every_session_its_full_time() -> None:
    silent = SilentSessions(TTL)
    silent.take([session(1, 10)], now=0)
    assert silent.take([], now=5_000) == ()  # It does not lead.
    assert silent.take([session(1, 10)], now=10_000) == ()
    assert silent.take([session(1, 10)], now=13_000) == ()
    assert silent.take([session(1, 10)], now=13_001) == (session(1, 10),)

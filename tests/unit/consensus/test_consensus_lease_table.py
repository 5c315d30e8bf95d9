"""The lease table: who holds what, and when it ends."""

from __future__ import annotations

import pytest

from services.consensus.errors import LeaseHeld
from services.consensus.state.commands import ExpireLease, GrantLease, ReleaseLease
from services.consensus.state.lease_table import Lease, LeaseTable

GRANT = GrantLease("recovery", member_id=1, session_id="s1")


@pytest.fixture
def held() -> LeaseTable:
    """A table with the grant of index 7 in term 2."""
    table = LeaseTable()
    table.grant(7, 2, GRANT)
    return table


def test_token_is_the_log_index_of_the_grant() -> None:
    changes, lease = LeaseTable().grant(7, 2, GRANT)
    assert lease == Lease("recovery", 1, "s1", fencing_token=7, grant_term=2, live=True)
    assert [change.row for change in changes] == [lease.to_row()]


def test_refused_grant_leaves_holder_unchanged(held: LeaseTable) -> None:
    before = held.newest("recovery")
    changes, refusal = held.grant(9, 2, GrantLease("recovery", 2, "s2"))
    assert refusal == LeaseHeld("recovery", 1, "s1", 7)
    assert changes == ()
    assert held.newest("recovery") == before


def test_holder_that_asks_again_gets_the_same_grant(held: LeaseTable) -> None:
    changes, lease = held.grant(9, 2, GRANT)
    assert isinstance(lease, Lease)
    assert lease.fencing_token == 7
    assert changes == ()


def test_names_are_independent(held: LeaseTable) -> None:
    _, other = held.grant(9, 2, GrantLease("another", 2, "s2"))
    assert isinstance(other, Lease)
    assert {lease.name for lease in held.live()} == {"another", "recovery"}


def test_later_term_ends_the_lease_and_keeps_its_token(held: LeaseTable) -> None:
    changes = held.begin_term(3)
    assert len(changes) == 1
    assert held.live() == ()
    newest = held.newest("recovery")
    assert newest is not None
    assert newest.fencing_token == 7


def test_entry_of_the_same_term_ends_nothing(held: LeaseTable) -> None:
    assert held.begin_term(2) == ()
    assert held.is_live("recovery", 7)


@pytest.mark.parametrize(
    ("command", "ends"),
    [
        pytest.param(ReleaseLease("recovery", "s1", 7), True, id="own-release"),
        pytest.param(ReleaseLease("recovery", "s2", 7), False, id="release-by-another-session"),
        pytest.param(ReleaseLease("recovery", "s1", 6), False, id="release-of-an-older-grant"),
        pytest.param(ReleaseLease("nothing", "s1", 7), False, id="release-of-what-is-not-held"),
        pytest.param(ExpireLease("recovery", 7), True, id="expiry"),
        pytest.param(ExpireLease("recovery", 6), False, id="expiry-of-an-older-grant"),
    ],
)
def test_lease_ends(held: LeaseTable, command: ReleaseLease | ExpireLease, ends: bool) -> None:
    changes = held.release(command) if isinstance(command, ReleaseLease) else held.expire(command)
    assert bool(changes) is ends
    assert held.is_live("recovery", 7) is not ends


def test_ended_lease_can_be_granted_anew_with_a_newer_token(held: LeaseTable) -> None:
    held.expire(ExpireLease("recovery", 7))
    _, lease = held.grant(9, 2, GrantLease("recovery", 2, "s2"))
    assert isinstance(lease, Lease)
    assert lease.fencing_token == 9
    assert not held.is_live("recovery", 7)


def test_rows_give_the_lease_back(held: LeaseTable) -> None:
    lease = held.newest("recovery")
    assert lease is not None
    assert Lease.from_row(*lease.to_row()) == lease  # type: ignore[arg-type]  # A row is as wide as its table.

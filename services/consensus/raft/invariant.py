"""Assertions that stay on in production (C4): stopping is always safer than going on."""

from __future__ import annotations

from services.consensus.raft.model import InvariantViolated


def ensure(holds: bool, rule: str, facts: str) -> None:
    """Stop the member unless a rule holds.

    Args:
        holds: Whether it does.
        rule: Rule of the specification.
        facts: What was seen, for the one line that is logged.

    Raises:
        InvariantViolated: It does not hold.
    """
    if not holds:
        raise InvariantViolated(rule, facts)

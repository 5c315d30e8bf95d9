"""Majorities: how many make one, and what one agrees upon."""

from __future__ import annotations

from collections.abc import Iterable


def majority(voter_count: int) -> int:
    """Return how many of `voter_count` voters make a majority."""
    return voter_count // 2 + 1


def reached_by(values: Iterable[int], need: int) -> int:
    """Return the largest value that at least `need` of the values reach.

    Args:
        values: One value per voter, at least `need` of them.
        need: How many must reach it, at least 1.
    """
    return sorted(values, reverse=True)[need - 1]

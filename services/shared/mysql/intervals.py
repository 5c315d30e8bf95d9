"""Sets of positive integers as sorted, disjoint, non-adjacent closed intervals: the arithmetic under GTID sets.

Every function takes and returns canonical intervals, so equal sets are equal values, and works in linear time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

Interval = tuple[int, int]
"""First and last member, both included; `1 <= first <= last`."""
Intervals = tuple[Interval, ...]
"""Canonical: sorted, disjoint, and no two of them touch."""


def canonical(intervals: Iterable[Interval]) -> Intervals:
    """Return the canonical form of intervals in any order, overlapping or not."""
    merged: list[Interval] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def union(left: Intervals, right: Intervals) -> Intervals:
    """Return the members of either."""
    if left == right or not right:
        return left
    return canonical((*left, *right)) if left else right


def intersect(left: Intervals, right: Intervals) -> Intervals:
    """Return the members of both."""
    common: list[Interval] = []
    i = j = 0
    while i < len(left) and j < len(right):
        first, last = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if first <= last:
            common.append((first, last))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(common)


def subtract(left: Intervals, right: Intervals) -> Intervals:
    """Return the members of `left` that are not in `right`."""
    rest: list[Interval] = []
    j = 0
    for first, last in left:
        while j < len(right) and right[j][1] < first:
            j += 1
        k = j
        while k < len(right) and right[k][0] <= last:
            if first < right[k][0]:
                rest.append((first, right[k][0] - 1))
            first = right[k][1] + 1
            k += 1
        if first <= last:
            rest.append((first, last))
    return tuple(rest)


def is_subset(left: Intervals, right: Intervals) -> bool:
    """Return whether every member of `left` is in `right`."""
    for first, last in left:
        at = bisect_right(right, (first, last)) - 1
        covering = right[at] if at >= 0 and right[at][1] >= first else (right[at + 1] if at + 1 < len(right) else None)
        if covering is None or not covering[0] <= first <= last <= covering[1]:
            return False
    return True


def count(intervals: Intervals) -> int:
    """Return how many members there are."""
    return sum(last - first + 1 for first, last in intervals)

"""Figures as JSON lines on standard output; progress on standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of values, at least one; `share` 0.5 is the median."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def report(bench: str, mode: str, metric: str, values: Sequence[float], **facts: object) -> None:
    """Print one metric: count, minimum, median, 99th percentile and maximum; nothing when there are no values."""
    if not values:
        return
    figures = {
        "n": len(values),
        "min": round(min(values), 3),
        "p50": round(percentile(values, 0.5), 3),
        "p99": round(percentile(values, 0.99), 3),
        "max": round(max(values), 3),
    }
    _print({"bench": bench, "mode": mode, "metric": metric, **facts, **figures})


def report_value(bench: str, mode: str, metric: str, value: float, **facts: object) -> None:
    """Print one metric that has one figure only."""
    _print({"bench": bench, "mode": mode, "metric": metric, **facts, "value": round(value, 3)})


def progress(text: str) -> None:
    """Say how far it is."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _print(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()

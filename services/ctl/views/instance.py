"""One instance in one line: `[lag,status,version,rw|ro,format,>>,GTID,semi:...]` and notes on what is wrong.

The bracket keeps the order of orchestrator's `topology`, which operators read at a glance. What was not read is `?`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from services.ctl.text import Line, Span, bad, dim, good, line, plain, warn
from services.ctl.words import UNKNOWN, span_text
from services.shared.topology.channel import ReplicationChannel, ThreadState
from services.shared.topology.instance import Instance, Problem
from services.shared.topology.key import InstanceKey
from services.shared.topology.operators import PromotionRule
from services.shared.topology.server import Flavor

_DETACHED: Final = "//"
_ERROR_LENGTH: Final = 48


def bracket(instance: Instance) -> Line:
    """Return the bracket with everything about an instance that fits in a word each."""
    words = [
        _lag(instance),
        status(instance),
        Span(_version(instance)),
        _writable(instance),
        _binlog_format(instance),
        *_flags(instance),
    ]
    separated = [part for word in words for part in (Span(","), word)]
    return line("[", *separated[1:], "]")


def status(instance: Instance) -> Span:
    """Return the worst thing about an instance as one word."""
    reading = instance.reading
    if reading.last_checked_time is None:
        return warn("unchecked")
    if not reading.last_check_valid or Problem.LAST_CHECK_INVALID in instance.problems:
        return bad("unreachable")
    if Problem.NOT_RECENTLY_CHECKED in instance.problems:
        return bad("stale")
    if instance.channels and not instance.replicating:
        return bad("not-replicating")
    if Problem.REPLICATION_LAG in instance.problems:
        return warn("lagging")
    return good("ok")


def _lag(instance: Instance) -> Span:
    """The longest lag of all channels; `-` for what does not replicate, `?` when any is not known or out of date."""
    if not instance.channels:
        return dim("-") if instance.reading.last_seen_time else warn(UNKNOWN)
    lags = [channel.lag for channel in instance.channels]
    known = [lag for lag in lags if lag is not None]
    if len(known) < len(lags) or not instance.reading.last_check_valid:
        return warn(UNKNOWN)
    seconds = max(known).total_seconds()
    text = f"{seconds:g}s" if seconds < 60 else span_text(max(known))
    return warn(text) if Problem.REPLICATION_LAG in instance.problems else Span(text)


def _version(instance: Instance) -> str:
    if not instance.version:
        return UNKNOWN
    number = instance.version.split("-", 1)[0]
    return f"{number}-MariaDB" if instance.flavor is Flavor.MARIADB else number


def _writable(instance: Instance) -> Span:
    if instance.read_only is None:
        return warn(UNKNOWN)
    if instance.read_only:
        return Span("ro")
    fine = not instance.channels and instance.reading.last_check_valid
    return good("rw") if fine else warn("rw")


def _binlog_format(instance: Instance) -> Span:
    if instance.log_bin is None:
        return warn(UNKNOWN)
    return Span(instance.binlog_format or UNKNOWN) if instance.log_bin else warn("nobinlog")


def _flags(instance: Instance) -> list[Span]:
    flags = []
    if instance.log_bin and instance.log_replica_updates:
        flags.append(Span(">>"))
    if uses_gtid(instance):
        flags.append(Span("GTID"))
    return flags + _semi_sync(instance)


def uses_gtid(instance: Instance) -> bool:
    """Return whether an instance takes part in GTID replication."""
    if instance.flavor is Flavor.MARIADB:
        return not instance.channels or all(channel.gtid_positioning for channel in instance.channels)
    return instance.gtid_mode == "ON"


def _semi_sync(instance: Instance) -> list[Span]:
    """`semi:source` or `semi:replica` while it works; with `:off` when it is switched on and does not."""
    sides = instance.semi_sync
    words = []
    if sides.source_enabled and (not instance.channels or sides.clients):
        words.append(Span("semi:source") if sides.source_status else warn("semi:source:off"))
    if sides.replica_enabled and instance.channels:
        words.append(Span("semi:replica") if sides.replica_status else warn("semi:replica:off"))
    return words


def notes(instance: Instance, parent: InstanceKey | None, known: Collection[InstanceKey]) -> Line:
    """Return what stands behind the bracket: problems, and what the tree cannot show.

    Args:
        instance: The instance.
        parent: The source it is drawn below; None at the top.
        known: The instances that are drawn.
    """
    found = [*_graph_notes(instance, parent, known), *_problem_notes(instance)]
    return line(*(part for note in found for part in ("  ", note)))


def _graph_notes(instance: Instance, parent: InstanceKey | None, known: Collection[InstanceKey]) -> list[Span]:
    marks = [warn("co-primary")] if instance.co_primary else []
    for channel in instance.channels:
        source = channel.source
        label = f" (channel {channel.name})" if channel.name else ""
        if source.host.startswith(_DETACHED):
            marks.append(warn(f"detached from {InstanceKey(source.host.removeprefix(_DETACHED), source.port)}{label}"))
        elif source not in known:
            marks.append(warn(f"reads from {source}, not known{label}"))
        elif source != parent and not (instance.co_primary and parent is None):
            marks.append(dim(f"reads from {source}{label}"))
    return marks


def _problem_notes(instance: Instance) -> list[Span]:
    marks = [bad(text) for channel in instance.channels for text in _channel_errors(channel)]
    if Problem.SEEN_TWICE in instance.problems:
        marks.append(bad("seen twice: another endpoint has its server UUID"))
    if instance.errant_gtid_set:
        marks.append(bad(f"errant {instance.errant_gtid_set}"))
    if instance.reading.error and plain((status(instance),)) == "unreachable":
        marks.append(bad(shortened(instance.reading.error)))
    if instance.promotion_rule is not PromotionRule.NEUTRAL:
        marks.append(dim(f"promotion rule {instance.promotion_rule.name}"))
    if instance.downtime:
        marks.append(warn(f"downtime by {instance.downtime.owner}: {instance.downtime.reason}"))
    return marks


def shortened(text: str) -> str:
    """Return the beginning of a text that a server wrote; JSON has all of it."""
    return text if len(text) <= _ERROR_LENGTH else text[: _ERROR_LENGTH - 1].rstrip() + "…"


def _channel_errors(channel: ReplicationChannel) -> list[str]:
    """What stopped a channel, or that it does not run although nothing is reported."""
    label = f" of channel {channel.name}" if channel.name else ""
    threads = (
        ("IO", channel.io_state, channel.io_errno, channel.io_error),
        ("SQL", channel.sql_state, channel.sql_errno, channel.sql_error),
    )
    return [
        f"{name} thread{label} {state.value}" + (f": {number} {shortened(text)}".rstrip() if number else "")
        for name, state, number, text in threads
        if state is not ThreadState.ON
    ]

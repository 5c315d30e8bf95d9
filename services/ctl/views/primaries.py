"""The directory: who takes the writes of each cluster."""

from __future__ import annotations

from collections.abc import Sequence

from primacy.consensus.v1 import consensus_pb2 as pb

from services.ctl.text import Cell, Line, columns, dim, line, strong
from services.ctl.words import endpoint_text, time_text


def primaries_lines(primaries: Sequence[pb.Primary]) -> list[Line]:
    """Return one line per cluster, aligned."""
    if not primaries:
        return [line("the directory is empty: no primary was published yet")]
    return columns([_cells(primary) for primary in primaries])


def primary_line(primary: pb.Primary) -> Line:
    """Return one entry as a line of its own, for a watch."""
    return columns([_cells(primary)])[0]


def _cells(primary: pb.Primary) -> Sequence[Cell]:
    since = time_text(primary.publish_time) if primary.HasField("publish_time") else "-"
    how = f"recovery {primary.recovery_id}" if primary.recovery_id else "found as it is"
    formerly = ", ".join(endpoint_text(former.endpoint) for former in primary.former[:2])
    return (
        primary.alias or primary.cluster_id,
        strong(endpoint_text(primary.endpoint)),
        f"epoch {primary.epoch}",
        since,
        dim(how + (f", formerly {formerly}" if formerly else "")),
    )

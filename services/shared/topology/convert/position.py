"""Positions in binary logs <-> messages; None is an absent field."""

from __future__ import annotations

from primacy.topology.v1 import topology_pb2 as pb

from services.shared.topology.position import BinlogPosition


def position_to_proto(position: BinlogPosition | None) -> pb.BinlogPosition | None:
    """Return the position; None stays None (an absent field)."""
    return None if position is None else pb.BinlogPosition(file=position.file, position=position.position)


def position_from_proto(message: pb.BinlogPosition) -> BinlogPosition:
    """Return the position; ask `HasField` first."""
    return BinlogPosition(message.file, message.position)

"""Positions in binary logs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BinlogPosition:
    """A position in a binary log. Compare with `follows`, never as text: `.1000000` comes after `.999999`."""

    file: str
    position: int

    def follows(self, other: BinlogPosition) -> bool:
        """Return whether this position is strictly after `other` in the same log (base name, number, offset)."""
        return self._key() > other._key()

    def _key(self) -> tuple[str, int, int]:
        base, _, number = self.file.rpartition(".")
        return (base, int(number), self.position) if number.isdigit() else (self.file, 0, self.position)

"""Chance without the outside: a generator that a seed determines on every platform (C3)."""

from __future__ import annotations

_MASK = (1 << 64) - 1


class SplitMix64:
    """The generator SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, good enough to spread timers."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        """Start from any integer; its low 64 bits count."""
        self._state = seed & _MASK

    def next(self) -> int:
        """Return the next integer in 0..2**64-1."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def below(self, bound: int) -> int:
        """Return an integer in 0..bound-1; 0 when `bound` is not positive. The bias is below bound / 2**64."""
        return self.next() % bound if bound > 0 else 0

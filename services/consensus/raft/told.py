"""Telling the app of a change once."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Told(Generic[T]):
    """A value as the app was told it last."""

    __slots__ = ("_value",)

    def __init__(self, value: T | None) -> None:
        """Start with what the app knows; None = nothing."""
        self._value = value

    def change(self, value: T) -> T | None:
        """Return a value that the app has to be told now; None when it knows it."""
        if value is self._value or value == self._value:
            return None
        self._value = value
        return value

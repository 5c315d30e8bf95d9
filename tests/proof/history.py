"""What clients saw: operations with the time they were asked and the time they were answered.

An operation that was certainly refused is not in a history. One whose outcome is unknown (a deadline passed, a leader
died) stays open to the end: it may have taken effect at any time after it was asked, or never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final


class _Unknown(Enum):
    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN: Final = _Unknown.UNKNOWN
"""Answer of an operation of which nobody knows whether it happened."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of one client.

    Attributes:
        client: Who asked. A client asks one thing at a time, except that an unknown outcome does not hold it up.
        key: What it is about; keys are independent of one another.
        call: What was asked, a value of the model.
        answer: What was answered, a value of the model, or `UNKNOWN`.
        invoked: When it was asked, on one clock for the whole history; any unit.
        returned: When it was answered; means nothing for an unknown outcome.
    """

    client: int
    key: str
    call: Any
    answer: Any
    invoked: int
    returned: int = 0

    @property
    def known(self) -> bool:
        """Whether it was answered."""
        return self.answer is not UNKNOWN


class History:
    """Operations as they happen. Those that were begun and never ended count as unknown."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """Begin an empty history.

        Args:
            clock: Read when an operation is asked, before anything is sent, and when it is answered.
        """
        self._clock = clock
        self._ended: list[Operation] = []
        self._open: dict[int, Operation] = {}
        self._count = 0

    def invoke(self, client: int, key: str, call: Any) -> int:
        """Note that something is asked; return the number to end it with."""
        self._count += 1
        self._open[self._count] = Operation(client, key, call, UNKNOWN, self._clock())
        return self._count

    def answered(self, number: int, answer: Any) -> None:
        """Note the answer."""
        begun = self._open.pop(number)
        self._ended.append(Operation(begun.client, begun.key, begun.call, answer, begun.invoked, self._clock()))

    def refused(self, number: int) -> None:
        """Note that it certainly did not happen."""
        del self._open[number]

    def operations(self) -> tuple[Operation, ...]:
        """Return all operations in the order they were asked."""
        return tuple(sorted((*self._ended, *self._open.values()), key=lambda operation: operation.invoked))


def by_key(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    """Return the operations of each key, keys in order."""
    found: dict[str, list[Operation]] = {}
    for operation in operations:
        found.setdefault(operation.key, []).append(operation)
    return dict(sorted(found.items()))

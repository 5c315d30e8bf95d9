"""Looks for an order of calls in which one client alone would have been answered as all of these were.

A search after Wing and Gong, with Lowe's two improvements: states that were tried are remembered, and an operation is
put in order only when the answer of one forces it ("just in time"). So what is remembered is small: how many answers
have been explained, which of the operations still open have taken effect, and the state.

What changes nothing (a read) takes effect as soon as its answer is right: putting it later could not help. Operations
of unknown outcome are tried last, and need not take effect at all. Each key is searched alone, for a history is
linearizable when that of each key is (Herlihy and Wing 1990). The search is exponential in the number of clients that
wait at the same time: keep them at 8 a key.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.proof.history import Operation, by_key
from tests.proof.models import Model

LIMIT: Final = 5_000_000
"""Steps after which a search is given up."""


class SearchTooLarge(Exception):
    """The search was given up: the history is neither right nor wrong. Fewer clients a key help."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A history that no order explains.

    Attributes:
        key: Of what.
        operation: The first answer that cannot be explained, however those before it are ordered.
        states: What the state may have been just before.
        beside: Operations that were open at that time, of unknown outcome too.
    """

    key: str
    operation: Operation
    states: tuple[Hashable, ...]
    beside: tuple[Operation, ...]

    def __str__(self) -> str:
        beside = "".join(f"\n    beside {operation}" for operation in self.beside)
        return f"{self.key}: {self.operation} is not possible in any of {list(self.states)}{beside}"


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer to explain, and what was open when it came; open operations have a bit each."""

    operation: Operation
    bit: int
    beside: tuple[tuple[int, Operation], ...]
    unknown: tuple[tuple[int, Operation], ...]


def check(operations: Iterable[Operation], model: Model, *, limit: int = LIMIT) -> Violation | None:
    """Return what is wrong with a history; None when it is linearizable.

    Args:
        operations: In any order.
        model: What each key is.
        limit: Steps per key after which to give up.

    Raises:
        SearchTooLarge: Neither was found within the limit.
    """
    for key, found in by_key(operations).items():
        answers = tuple(_answers(model.without_effect(found)))
        violation = _Search(answers, model).run(key, limit)
        if violation is not None:
            return violation
    return None


def _answers(operations: Sequence[Operation]) -> Iterator[_Answer]:
    """Return the answers in the order they came; what was asked at the instant of an answer was asked before it."""
    moments = [(operation.invoked, 0, number) for number, operation in enumerate(operations)]
    moments += [(operation.returned, 1, number) for number, operation in enumerate(operations) if operation.known]
    free: list[int] = []
    bit_count = 0
    waiting: dict[int, int] = {}
    unknown: tuple[tuple[int, Operation], ...] = ()
    for _, answered, number in sorted(moments):
        operation = operations[number]
        if answered:
            bit = waiting.pop(number)
            yield _Answer(operation, bit, tuple((bit, operations[other]) for other, bit in waiting.items()), unknown)
            free.append(bit)
            continue
        if not free:
            free.append(1 << bit_count)
            bit_count += 1
        bit = free.pop()
        if operation.known:
            waiting[number] = bit
        else:
            unknown = (*unknown, (bit, operation))


@dataclass(frozen=True, slots=True)
class _Moves:
    """What open operations do to a state, whatever has taken effect so far.

    Attributes:
        still: Bits of those that change nothing.
        changing: Bit and state after, the likeliest last: that is what a stack takes first.
    """

    still: int
    changing: tuple[tuple[int, Any], ...]


class _Search:
    """Explains all answers of one key depth first."""

    def __init__(self, answers: Sequence[_Answer], model: Model) -> None:
        self._answers = answers
        self._model = model
        self._moves: dict[tuple[int, Hashable], _Moves] = {}
        self._tried: set[tuple[int, int, Hashable]] = set()
        self._furthest = 0
        self._stuck: set[Hashable] = set()

    def run(self, key: str, limit: int) -> Violation | None:
        stack: list[tuple[int, int, Any]] = [(0, 0, self._model.initial)]
        while stack:
            place, effective, state = node = self._settle(*stack.pop())
            if place == len(self._answers):
                return None
            if node in self._tried:
                continue
            self._remember(node)
            if len(self._tried) > limit:
                raise SearchTooLarge(f"{key}: gave up at answer {self._furthest} of {len(self._answers)}")
            for bit, after in self._moves_at(place, state).changing:
                if not effective & bit:
                    stack.append((place, effective | bit, after))
        answer = self._answers[self._furthest]
        beside = tuple(operation for _, operation in (*answer.beside, *answer.unknown))
        return Violation(key, answer.operation, tuple(sorted(self._stuck, key=repr)), beside)

    def _settle(self, place: int, effective: int, state: Any) -> tuple[int, int, Hashable]:
        """Let everything take effect that changes nothing, and pass the answers that are explained."""
        while place < len(self._answers):
            effective |= self._moves_at(place, state).still
            bit = self._answers[place].bit
            if not effective & bit:
                break
            effective ^= bit
            place += 1
        return place, effective, state

    def _remember(self, node: tuple[int, int, Hashable]) -> None:
        self._tried.add(node)
        place, _, state = node
        if place > self._furthest:
            self._furthest, self._stuck = place, set()
        if place == self._furthest:
            self._stuck.add(state)

    def _moves_at(self, place: int, state: Any) -> _Moves:
        found = self._moves.get((place, state))
        if found is None:
            found = self._moves[place, state] = self._make_moves(self._answers[place], state)
        return found

    def _make_moves(self, answer: _Answer, state: Any) -> _Moves:
        still, changing = 0, []
        for bit, operation in (*reversed(answer.unknown), *reversed(answer.beside), (answer.bit, answer.operation)):
            after = self._model.step(state, operation.call, operation.answer)
            if after is not None and after != state:
                changing.append((bit, after))
            elif after is not None and operation.known:
                still |= bit
        return _Moves(still, tuple(changing))

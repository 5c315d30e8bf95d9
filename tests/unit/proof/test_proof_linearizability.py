"""The checker finds what is wrong and nothing else: by hand, against a search of all orders, and at full size."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.proof.history import UNKNOWN, History, Operation
from tests.proof.linearizability import SearchTooLarge, check
from tests.proof.models import (
    Acquire,
    Check,
    EpochRegister,
    Granted,
    Held,
    LeaseModel,
    Model,
    Read,
    Register,
    Release,
    Versioned,
    Write,
)


def history(*calls: tuple[int, int | None, Any, Any], key: str = "k") -> list[Operation]:
    """Return operations from (invoked, returned or None, call, answer)."""
    return [
        Operation(client, key, call, UNKNOWN if returned is None else answer, invoked, returned or 0)
        for client, (invoked, returned, call, answer) in enumerate(calls)
    ]


GOOD = [
    pytest.param(Register(), history(), id="nothing happened"),
    pytest.param(Register(), history((1, 2, Write(1), None), (3, 4, Read(), 1)), id="a read after a write sees it"),
    pytest.param(Register(), history((1, 9, Write(1), None), (2, 3, Read(), "nothing")), id="a write may be slow"),
    pytest.param(
        Register(),
        history((1, 9, Write(1), None), (2, 3, Read(), "nothing"), (4, 5, Read(), 1)),
        id="a write takes effect between two reads",
    ),
    pytest.param(
        Register(), history((1, 5, Write(1), None), (5, 6, Read(), "nothing")), id="the same instant is no order"
    ),
    pytest.param(
        Register(),
        history((1, None, Write(1), None), (2, 3, Write(2), None), (4, 5, Read(), 2), (6, 7, Read(), 1)),
        id="an unknown write takes effect late",
    ),
    pytest.param(
        Register(),
        history((1, None, Write(1), None), (2, 3, Write(2), None), (4, 5, Read(), 2)),
        id="an unknown write never happens",
    ),
    pytest.param(
        Register(),
        history((1, 10, Write(1), None), (1, 10, Write(2), None), (11, 12, Read(), 1)),
        id="writes at the same time go in any order",
    ),
    pytest.param(
        EpochRegister(),
        history((1, 2, Write("a"), Versioned("a", 1)), (3, None, Write("b"), None), (4, 5, Read(), Versioned("b", 2))),
        id="an unknown write counts once seen",
    ),
    pytest.param(
        LeaseModel(),
        history(
            (1, 2, Acquire("a"), Granted(5)),
            (3, 4, Check(5), True),
            (5, 6, Acquire("a"), Granted(5)),
            (7, 8, Acquire("b"), Held(5)),
            (9, 10, Release("a", 5), None),
            (11, 12, Acquire("b"), Granted(9)),
            (13, 14, Check(5), False),
        ),
        id="a lease changes hands",
    ),
    pytest.param(
        LeaseModel(),
        history((1, 2, Acquire("a"), Granted(5)), (3, 4, Acquire("b"), Granted(9)), (5, 6, Check(5), False)),
        id="a lease ends by itself",
    ),
    pytest.param(
        LeaseModel(),
        history((1, None, Acquire("a"), None), (2, 3, Acquire("b"), Held(5)), (4, 5, Acquire("a"), Granted(5))),
        id="an unknown grant was one, and has the token others were told",
    ),
]

BAD = [
    pytest.param(Register(), history((1, 2, Write(1), None), (3, 4, Read(), "nothing")), id="stale read"),
    pytest.param(Register(), history((1, 2, Read(), 7)), id="a value nobody wrote"),
    pytest.param(
        Register(),
        history((1, 9, Write(1), None), (2, 3, Read(), 1), (4, 5, Read(), "nothing")),
        id="a value comes and goes",
    ),
    pytest.param(
        Register(),
        history((1, 2, Write(1), None), (3, 4, Write(2), None), (5, 6, Read(), 1)),
        id="lost update",
    ),
    pytest.param(
        Register(),
        history((5, None, Write(1), None), (1, 2, Read(), 1)),
        id="an unknown write is seen before it was asked",
    ),
    pytest.param(
        Register(),
        history((1, None, Write(1), None), (2, 3, Write(2), None), (4, 5, Read(), 1), (6, 7, Read(), 2)),
        id="an unknown write is undone",
    ),
    pytest.param(
        Register(),
        history(
            (1, 20, Write(1), None), (1, 20, Write(2), None), (2, 3, Read(), 1), (4, 5, Read(), 2), (6, 7, Read(), 1)
        ),
        id="readers disagree about the order of writes",
    ),
    pytest.param(
        EpochRegister(),
        history((1, None, Write("a"), None), (2, 3, Read(), Versioned("a", 2))),
        id="a write that happened twice",
    ),
    pytest.param(
        EpochRegister(),
        history((1, 2, Write("a"), Versioned("a", 1)), (3, 4, Write("b"), Versioned("b", 1))),
        id="an epoch given twice",
    ),
    pytest.param(
        LeaseModel(),
        history((1, 2, Acquire("a"), Granted(5)), (3, 4, Acquire("b"), Granted(4))),
        id="a token that does not grow",
    ),
    pytest.param(
        LeaseModel(),
        history((1, 2, Acquire("a"), Granted(5)), (3, 4, Acquire("b"), Granted(9)), (5, 6, Check(5), True)),
        id="an overtaken token is good",
    ),
    pytest.param(
        LeaseModel(),
        history((1, 2, Acquire("a"), Granted(5)), (3, 4, Check(5), False), (5, 6, Check(5), True)),
        id="an ended grant comes back",
    ),
    pytest.param(
        LeaseModel(),
        history((1, 2, Acquire("a"), Granted(5)), (3, 4, Release("a", 5), None), (5, 6, Acquire("b"), Held(5))),
        id="held by who gave it back",
    ),
    pytest.param(
        LeaseModel(),
        history((1, 9, Acquire("a"), Granted(5)), (1, 9, Acquire("b"), Granted(5))),
        id="one token for two sessions",
    ),
]


@pytest.mark.parametrize(("model", "operations"), GOOD)
def test_explained_history_passes(model: Model, operations: list[Operation]) -> None:
    assert check(operations, model) is None


@pytest.mark.parametrize(("model", "operations"), BAD)
def test_impossible_history_is_found(model: Model, operations: list[Operation]) -> None:
    assert check(operations, model) is not None


def test_violation_names_the_key_the_answer_and_the_possible_states() -> None:
    stale = history((1, 2, Write(1), None), (3, 4, Read(), "nothing"), key="bad")
    violation = check([*history((1, 2, Write(7), None), key="good"), *stale], Register())
    assert violation is not None
    assert (violation.key, violation.operation, violation.states) == ("bad", stale[1], (1,))
    assert "bad" in str(violation)


def test_history_counts_what_never_returned_as_unknown_and_leaves_refusals_out() -> None:
    moments = itertools.count(1)
    seen = History(lambda: next(moments))
    first = seen.invoke(1, "k", Write(1))
    seen.invoke(2, "k", Write(2))
    refused = seen.invoke(3, "k", Write(3))
    seen.answered(first, None)
    seen.refused(refused)
    assert seen.operations() == (
        Operation(1, "k", Write(1), None, 1, 4),
        Operation(2, "k", Write(2), UNKNOWN, 2),
    )


def test_search_that_is_too_large_is_no_verdict() -> None:
    operations = history(*((1, 9, Write(value), None) for value in range(8)), (10, 11, Read(), 9))
    with pytest.raises(SearchTooLarge):
        check(operations, Register(), limit=100)


@st.composite
def small_histories(draw: st.DrawFn) -> list[Operation]:
    """Histories of up to five operations on a register with two values, right or wrong."""
    operations = []
    for client in range(draw(st.integers(0, 5))):
        invoked = draw(st.integers(0, 8))
        returned = draw(st.none() | st.integers(invoked + 1, 10))
        call: Any = draw(st.sampled_from((Write(1), Write(2), Read())))
        told = draw(st.sampled_from((1, 2, "nothing"))) if isinstance(call, Read) else None
        operations.append(Operation(client, "k", call, UNKNOWN if returned is None else told, invoked, returned or 0))
    return operations


def explained_by_some_order(operations: Sequence[Operation], model: Model) -> bool:
    """Try every order of every choice of unknown operations."""
    known = [operation for operation in operations if operation.known]
    unknown = [operation for operation in operations if not operation.known]
    chosen = itertools.chain.from_iterable(itertools.combinations(unknown, n) for n in range(len(unknown) + 1))
    return any(_explains(order, model) for some in chosen for order in itertools.permutations((*known, *some)))


def _explains(order: Sequence[Operation], model: Model) -> bool:
    state: Any = model.initial
    for place, operation in enumerate(order):
        if any(later.known and later.returned < operation.invoked for later in order[place + 1 :]):
            return False
        state = model.step(state, operation.call, operation.answer)
        if state is None:
            return False
    return True


@given(small_histories())
@settings(max_examples=400)
def test_verdict_is_that_of_trying_all_orders(operations: list[Operation]) -> None:
    assert (check(operations, Register()) is None) == explained_by_some_order(operations, Register())


def recorded(seed: int, *, count: int, clients: int, unknown_share: float = 0.0) -> list[Operation]:
    """Return what clients of a correct register see, each call taking effect somewhere between asking and answering."""
    random_ = random.Random(seed)
    state: Any = "nothing"
    free_at = [0] * clients
    effects = []
    for number in range(count):
        client = min(range(clients), key=lambda each: free_at[each])
        invoked = free_at[client] + random_.randrange(1, 50)
        effect = invoked + random_.randrange(1, 100)
        returned = effect + random_.randrange(1, 100)
        free_at[client] = returned
        call: Any = Write(number) if random_.random() < 0.5 else Read()
        effects.append((effect, client, invoked, returned, call, random_.random() < unknown_share))
    operations = []
    for _, client, invoked, returned, call, unknown in sorted(effects, key=lambda each: each[0]):
        answer = None if isinstance(call, Write) else state
        state = call.value if isinstance(call, Write) else state
        operations.append(Operation(client, "k", call, UNKNOWN if unknown else answer, invoked, returned))
    return operations


@pytest.mark.parametrize(
    ("unknown_share", "broken"),
    [
        pytest.param(0.0, False, id="right"),
        pytest.param(0.02, False, id="right, some outcomes unknown"),
        pytest.param(0.0, True, id="wrong"),
    ],
)
def test_ten_thousand_operations_of_eight_clients_are_searched_quickly(unknown_share: float, broken: bool) -> None:
    operations = recorded(7, count=10_000, clients=8, unknown_share=unknown_share)
    if broken:
        last = max(place for place, each in enumerate(operations) if isinstance(each.call, Read))
        stale = operations[last]
        operations[last] = Operation(stale.client, "k", Read(), "nothing", stale.invoked, stale.returned)
    begun = time.process_time()
    violation = check(operations, Register())
    assert time.process_time() - begun < 4
    assert (violation is not None) == broken

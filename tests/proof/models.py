"""Sequential models that a history is compared with (21.5): what one client alone would be answered."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tests.proof.history import UNKNOWN, Operation


class Model(Protocol):
    """A data type as a function of its state, call and answer. States are hashable and never None."""

    @property
    def initial(self) -> Hashable:
        """State before the first operation."""
        ...

    def step(self, state: Any, call: Any, answer: Any) -> Hashable | None:
        """Return the state after a call that was answered so; None when this state does not answer so.

        Args:
            state: The state before.
            call: What is asked.
            answer: What is answered; `UNKNOWN` = any answer will do.
        """
        ...

    def without_effect(self, operations: Sequence[Operation]) -> Sequence[Operation]:
        """Return operations without those of unknown outcome that no other one can have noticed."""
        ...


# A register.


@dataclass(frozen=True, slots=True)
class Write:
    """Sets the value; answered with None."""

    value: Hashable


@dataclass(frozen=True, slots=True)
class Read:
    """Asks for the value; answered with it."""


@dataclass(frozen=True, slots=True)
class Register:
    """A value that is written and read. Histories should write each value once: then every read tells which write."""

    initial: Hashable = "nothing"

    def step(self, state: Any, call: Any, answer: Any) -> Hashable | None:
        """See `Model`."""
        match call:
            case Write(value):
                return value
            case Read() if answer is UNKNOWN or answer == state:
                return state  # type: ignore[no-any-return]
            case _:
                return None

    def without_effect(self, operations: Sequence[Operation]) -> Sequence[Operation]:
        """See `Model`: a write whose value nobody read might as well not have happened."""
        read = {operation.answer for operation in operations if isinstance(operation.call, Read) and operation.known}
        return [
            operation
            for operation in operations
            if operation.known or (isinstance(operation.call, Write) and operation.call.value in read)
        ]


@dataclass(frozen=True, slots=True)
class Versioned:
    """Answer of an `EpochRegister`: a value and the epoch it was written with."""

    value: Hashable
    epoch: int


@dataclass(frozen=True, slots=True)
class EpochRegister:
    """A register that counts its writes, as the directory of primaries does: both calls are answered `Versioned`."""

    initial: Versioned = Versioned("nothing", 0)

    def step(self, state: Any, call: Any, answer: Any) -> Hashable | None:
        """See `Model`."""
        after = Versioned(call.value, state.epoch + 1) if isinstance(call, Write) else state
        return after if answer is UNKNOWN or answer == after else None

    def without_effect(self, operations: Sequence[Operation]) -> Sequence[Operation]:
        """See `Model`: only reads leave no trace."""
        return [operation for operation in operations if operation.known or isinstance(operation.call, Write)]


# A lease.


@dataclass(frozen=True, slots=True)
class Acquire:
    """Asks for the lease; answered `Granted` or `Held`."""

    session: str


@dataclass(frozen=True, slots=True)
class Release:
    """Gives the lease back; answered with None, whether it was held or not."""

    session: str
    token: int


@dataclass(frozen=True, slots=True)
class Check:
    """Asks whether a token is good; answered with True or False. Once it is not, it never is again."""

    token: int


@dataclass(frozen=True, slots=True)
class Granted:
    """The lease is the session's under this token; asked again by the same session, the same token."""

    token: int


@dataclass(frozen=True, slots=True)
class Held:
    """The lease is another session's, under this token."""

    token: int


@dataclass(frozen=True, slots=True)
class LeaseState:
    """The newest grant.

    Attributes:
        session: Whose it is; empty = it was given back, or there was none.
        token: Its token; None = granted in a call of unknown outcome, somewhere above `above`.
        above: Tokens of later grants are larger than this.
    """

    session: str = ""
    token: int | None = 0
    above: int = 0


@dataclass(frozen=True, slots=True)
class LeaseModel:
    """A lease with fencing tokens that only grow.

    A grant also ends by itself (expiry, a new term), which no client sees: a lease that is held may at any time be
    granted anew, under a larger token. From then on the older one is neither held nor good.
    """

    initial: LeaseState = LeaseState()

    def step(self, state: Any, call: Any, answer: Any) -> Hashable | None:
        """See `Model`."""
        match call:
            case Acquire(session):
                return _acquired(state, session, answer)
            case Release(session, token):
                given_back = session == state.session and state.token in (token, None)
                return LeaseState("", state.token, state.above) if given_back else state
            case Check(token):
                return _checked(state, token, answer)
            case _:
                return None

    def without_effect(self, operations: Sequence[Operation]) -> Sequence[Operation]:
        """See `Model`: a check changes nothing."""
        return [operation for operation in operations if operation.known or not isinstance(operation.call, Check)]


def _is(state: LeaseState, token: int) -> bool:
    return state.token == token or (state.token is None and token > state.above)


def _checked(state: LeaseState, token: int, answer: Any) -> LeaseState | None:
    if answer is True:
        return _named(state, token) if state.session and _is(state, token) else None
    return LeaseState("", state.token, state.above) if answer is False and state.token == token else state


def _named(state: LeaseState, token: int) -> LeaseState:
    return LeaseState(state.session, token, token)


def _acquired(state: LeaseState, session: str, answer: Any) -> LeaseState | None:
    if answer is UNKNOWN:
        return state if state.session == session else LeaseState(session, None, state.above)
    match answer:
        case Granted(token) if (state.session == session and _is(state, token)) or token > state.above:
            return LeaseState(session, token, token)
        case Held(token) if state.session not in ("", session) and _is(state, token):
            return _named(state, token)
        case _:
            return None

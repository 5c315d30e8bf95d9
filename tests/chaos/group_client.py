"""Calls to a group of which nobody knows who leads: tried until an answer is certain, with one request id."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import grpc

from services.shared.runtime.status import parse_error
from tests.support.consensus_group import Group, MemberProcess

T = TypeVar("T")

CERTAIN: Final = frozenset(
    ("NOT_LEADER", "NO_LEADER", "OVERLOADED", "DEPENDENCY_UNAVAILABLE", "STALE_FENCING_TOKEN", "CLUSTER_UNKNOWN")
)
"""Reasons of refusals that certainly changed nothing."""
_NEVER_SENT: Final = "failed to connect to all addresses"
"""How gRPC begins the details of a call that it had no connection for; only then is UNAVAILABLE a certain outcome."""
_PAUSE_S: Final = 0.02


def changed_nothing(error: grpc.aio.AioRpcError) -> bool:
    """Tell whether a call that failed certainly did nothing."""
    told = parse_error(error)
    never_sent = told.code is grpc.StatusCode.UNAVAILABLE and told.message.startswith(_NEVER_SENT)
    return never_sent or told.reason in CERTAIN


class NotDone(Exception):
    """Nobody answered in time; it certainly did not happen."""


class OutcomeOpen(Exception):
    """Nobody answered in time; it may have happened, or may still happen."""


class Refused(Exception):
    """The group refused for a reason that trying again does not change."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class GroupClient:
    """One client; remembers who led last."""

    def __init__(self, group: Group, *, within_s: float = 10.0, call_s: float = 2.0) -> None:
        """Make a client.

        Args:
            group: Whom to ask.
            within_s: Longest time to try.
            call_s: Longest wait for one answer.
        """
        self._group = group
        self._within_s = within_s
        self._call_s = call_s
        self._turn = 0

    async def ask(
        self, call: Callable[[MemberProcess, float], Awaitable[T]], *, final: frozenset[str] = frozenset()
    ) -> T:
        """Return the first answer.

        Args:
            call: Asks one member, within seconds; asked again it makes the same request, under the newest token.
            final: Reasons that trying again does not change, beside those that are no trouble of the group.

        Raises:
            NotDone, OutcomeOpen, Refused: As their names say.
        """
        deadline = time.monotonic() + self._within_s
        maybe = False
        while time.monotonic() < deadline:
            member = self._group.members[self._turn % len(self._group.members)]
            if not member.running:
                self._turn += 1
                await asyncio.sleep(_PAUSE_S)
                continue
            try:
                return await call(member, self._call_s)
            except grpc.aio.AioRpcError as error:
                reason = parse_error(error).reason
                if reason in final or (reason and reason not in CERTAIN and reason != "OUTCOME_UNKNOWN"):
                    raise Refused(reason) from None
                maybe = maybe or not changed_nothing(error)
                if reason != "STALE_FENCING_TOKEN":
                    self._turn += 1
            await asyncio.sleep(_PAUSE_S)
        raise OutcomeOpen if maybe else NotDone

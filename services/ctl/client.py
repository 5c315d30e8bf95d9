"""Calls to the services of one or more nodes, each under a deadline.

A read takes the first node that answers; a call that only the leader may answer follows `NOT_LEADER` to it; a watch
goes on with the next node when the one it reads from falls silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Generic, Self, cast

import grpc

from services.ctl.api import Call, Stream, T
from services.ctl.calls import CallFailed, NobodyAnswers
from services.ctl.failure import CtlError
from services.ctl.nodes import Node
from services.shared.runtime.grpc_client import open_channel
from services.shared.runtime.settings import ServiceSettings
from services.shared.runtime.status import RemoteError, parse_error

_ELECTION_PAUSE_S: Final = 0.25
"""How long to wait before the nodes are asked again for a leader: a fraction of an election."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What one node answered: a value or why not."""

    node: Node
    value: T | None
    error: CtlError | None


class Suite:
    """The nodes a command talks to. Use it as an async context manager; it owns its channels."""

    def __init__(self, nodes: Sequence[Node], timeout_s: float, settings: ServiceSettings | None = None) -> None:
        """Make a client that has not connected yet.

        Args:
            nodes: Nodes in the order they are asked, at least one.
            timeout_s: Deadline of each call, and the longest silence of a stream.
            settings: TLS files of this process; None = plain text.
        """
        assert nodes
        self.nodes = tuple(nodes)
        self.timeout_s = timeout_s
        self._settings = settings
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self._channels.values():
            await channel.close()

    def channel(self, endpoint: str) -> grpc.aio.Channel:
        """Return the channel to an endpoint, one for all calls."""
        if endpoint not in self._channels:
            self._channels[endpoint] = open_channel(endpoint, self._settings)
        return self._channels[endpoint]

    async def at(self, endpoint: str, call: Call[T]) -> T:
        """Make one call at one endpoint.

        Raises:
            CallFailed: It failed.
        """
        try:
            return await call.make(self.channel(endpoint), self.timeout_s)
        except grpc.aio.AioRpcError as error:
            raise CallFailed(f"{call.service.label} at {endpoint}", parse_error(error)) from None

    async def first(self, call: Call[T], nodes: Sequence[Node] = ()) -> T:
        """Return the answer of the first node that has one.

        Args:
            call: The call; it changes nothing, so asking twice is harmless.
            nodes: Nodes in the order they are asked; empty = all of them.

        Raises:
            CtlError: A node refused, or none answers.
        """
        failures: list[CallFailed] = []
        for node in nodes or self.nodes:
            try:
                return await self.at(node.endpoint(call.service), call)
            except CallFailed as failure:
                if not failure.worth_another_node:
                    raise failure.described() from None
                failures.append(failure)
        raise NobodyAnswers(tuple(failures)).described()

    async def every(self, call: Call[T], nodes: Sequence[Node] = ()) -> list[Answer[T]]:
        """Ask all nodes at once and return their answers in order."""
        return list(await asyncio.gather(*(self._answer(call, node) for node in nodes or self.nodes)))

    async def _answer(self, call: Call[T], node: Node) -> Answer[T]:
        try:
            value = await self.at(node.endpoint(call.service), call)
        except CallFailed as failure:
            return Answer(node, None, failure.described())
        return Answer(node, value, None)

    async def leader(self, call: Call[T]) -> T:
        """Return the answer of the leading node; while a leader is being elected, ask again until the deadline.

        Args:
            call: The call; it must be idempotent, for it may be made more than once.

        Raises:
            CtlError: The leader refused, nobody leads, or no node answers.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout_s
        while True:
            try:
                return await self._follow_leader(call)
            except NobodyAnswers as nobody:
                if not nobody.electing or loop.time() + _ELECTION_PAUSE_S > deadline:
                    raise nobody.described() from None
            await asyncio.sleep(_ELECTION_PAUSE_S)

    async def _follow_leader(self, call: Call[T]) -> T:
        """Ask each node at most once, next always the one a refusal named."""
        queue = [node.endpoint(call.service) for node in self.nodes]
        failures: dict[str, CallFailed] = {}
        while queue:
            endpoint = queue.pop(0)
            if endpoint in failures:
                continue
            try:
                return await self.at(endpoint, call)
            except CallFailed as failure:
                if not failure.worth_another_node:
                    raise failure.described() from None
                failures[endpoint] = failure
                queue[:0] = [name for name in (failure.remote.metadata.get("endpoint", ""),) if name]
        raise NobodyAnswers(tuple(failures.values()))

    async def watch(self, stream: Stream[T], nodes: Sequence[Node] = ()) -> AsyncIterator[T]:
        """Yield a stream's messages; when its node falls silent or fails, go on with the next node's stream.

        The other node begins with a snapshot again, so messages may repeat what was said.

        Raises:
            CtlError: A node refused, or no node answers any more.
        """
        failures: list[CallFailed] = []
        ring = list(nodes or self.nodes)
        while len(failures) < len(ring):
            node = ring[len(failures)]
            try:
                async for message in self._read(node.endpoint(stream.service), stream):
                    failures = []
                    ring = [node, *(other for other in ring if other != node)]
                    yield message
                return
            except CallFailed as failure:
                if not failure.worth_another_node:
                    raise failure.described() from None
                failures.append(failure)
        raise NobodyAnswers(tuple(failures)).described()

    async def _read(self, endpoint: str, stream: Stream[T]) -> AsyncIterator[T]:
        where = f"{stream.service.label} at {endpoint}"
        call = stream.open(self.channel(endpoint))
        try:
            while True:
                async with asyncio.timeout(self.timeout_s):
                    message = await call.read()
                if message is grpc.aio.EOF:
                    return
                yield cast(T, message)
        except TimeoutError:
            silent = RemoteError(grpc.StatusCode.DEADLINE_EXCEEDED, "", "silent", {})
            raise CallFailed(where, silent) from None
        except grpc.aio.AioRpcError as error:
            if _interrupted(error):
                raise asyncio.CancelledError from None
            raise CallFailed(where, parse_error(error)) from None
        finally:
            call.cancel()


def _interrupted(error: grpc.aio.AioRpcError) -> bool:
    """Tell whether a call ended because this very task is being cancelled: gRPC may say so as a status."""
    task = asyncio.current_task()
    return error.code() is grpc.StatusCode.CANCELLED and task is not None and task.cancelling() > 0

"""The client against real gRPC servers: which node is asked, and when the next one is."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import Any

import pytest
from primacy.consensus.v1 import consensus_pb2

from services.ctl.api import REGISTRY, Call
from services.ctl.client import Suite
from services.ctl.failure import CtlError, Exit
from services.ctl.nodes import Node, Service
from services.shared.runtime.errors import ClusterUnknown, NoLeader, NotLeader
from tests.integration.ctl.ctl_world import SILENCE, FakeNode, running
from tests.support.suite import free_base_port

LIST = REGISTRY.call(lambda stub: stub.ListPrimaries, consensus_pb2.ListPrimariesRequest())
WATCH = REGISTRY.stream(lambda stub: stub.WatchPrimaries, consensus_pb2.WatchPrimariesRequest())


def entry(alias: str) -> consensus_pb2.WatchPrimariesResponse:
    """Return a message of the directory's stream."""
    return consensus_pb2.WatchPrimariesResponse(changed=[consensus_pb2.Primary(alias=alias)])


def listed(alias: str) -> consensus_pb2.ListPrimariesResponse:
    """Return a directory with one entry."""
    return consensus_pb2.ListPrimariesResponse(primaries=[consensus_pb2.Primary(alias=alias)])


async def fakes(stack: AsyncExitStack, *answers: dict[str, Any]) -> list[FakeNode]:
    """Run a node for each set of answers."""
    nodes = [FakeNode(Node("127.0.0.1", free_base_port(2)), each) for each in answers]
    return [await stack.enter_async_context(running(node)) for node in nodes]


async def suite_of(stack: AsyncExitStack, *nodes: Node, timeout_s: float = 2.0) -> Suite:
    """Return a client of nodes."""
    return await stack.enter_async_context(Suite(nodes, timeout_s))


async def watched(suite: Suite) -> list[str]:
    """Return the aliases of a stream until it ends or fails."""
    aliases = []
    async for message in suite.watch(WATCH):
        aliases += [primary.alias for primary in message.changed]
    return aliases


async def test_read_stops_at_the_first_answer() -> None:
    async with AsyncExitStack() as stack:
        first, second = await fakes(stack, {"ListPrimaries": listed("a")}, {"ListPrimaries": listed("b")})
        suite = await suite_of(stack, first.node, second.node)

        answer = await suite.first(LIST)

    assert answer.primaries[0].alias == "a"
    assert second.asked == []


async def test_refusal_is_not_asked_for_a_second_time() -> None:
    async with AsyncExitStack() as stack:
        first, second = await fakes(stack, {"ListPrimaries": ClusterUnknown("x")}, {"ListPrimaries": listed("b")})
        suite = await suite_of(stack, first.node, second.node)

        with pytest.raises(CtlError, match="cluster x is not known"):
            await suite.first(LIST)

    assert second.asked == []


async def test_when_nobody_answers_all_are_named() -> None:
    nodes = [Node("127.0.0.1", free_base_port(2)) for _ in range(2)]
    async with AsyncExitStack() as stack:
        suite = await suite_of(stack, *nodes)

        with pytest.raises(CtlError) as failure:
            await suite.first(LIST)

    assert failure.value.exit_code is Exit.UNAVAILABLE
    assert all(node.endpoint(Service.CONSENSUS) in str(failure.value) for node in nodes)


async def test_leader_named_by_a_refusal_is_asked_although_nobody_named_it_here() -> None:
    async with AsyncExitStack() as stack:
        (leader,) = await fakes(stack, {"ListPrimaries": listed("led")})
        refusal = NotLeader("node1", leader.node.endpoint(Service.CONSENSUS))
        (follower,) = await fakes(stack, {"ListPrimaries": refusal})
        suite = await suite_of(stack, follower.node)

        answer = await suite.leader(LIST)

    assert answer.primaries[0].alias == "led"


async def test_followers_that_name_each_other_end_at_the_deadline() -> None:
    async with AsyncExitStack() as stack:
        first, second = await fakes(stack, {}, {})
        first.answers["ListPrimaries"] = NotLeader("node2", second.node.endpoint(Service.CONSENSUS))
        second.answers["ListPrimaries"] = NotLeader("node1", first.node.endpoint(Service.CONSENSUS))
        suite = await suite_of(stack, first.node, timeout_s=0.6)

        with pytest.raises(CtlError, match="does not lead") as failure:
            await suite.leader(LIST)

    assert failure.value.exit_code is Exit.REFUSED


async def test_leader_that_is_elected_meanwhile_answers() -> None:
    async with AsyncExitStack() as stack:
        (node,) = await fakes(stack, {"ListPrimaries": NoLeader()})
        suite = await suite_of(stack, node.node)
        calls = 0

        def call(channel: Any, timeout: float) -> Any:
            nonlocal calls
            calls += 1
            if calls == 2:
                node.answers["ListPrimaries"] = listed("elected")
            return LIST.make(channel, timeout)

        answer = await suite.leader(Call(LIST.service, call))

    assert answer.primaries[0].alias == "elected"


async def test_without_any_node_a_leader_is_not_waited_for() -> None:
    async with AsyncExitStack() as stack:
        suite = await suite_of(stack, Node("127.0.0.1", free_base_port(2)), timeout_s=20)
        began = time.monotonic()

        with pytest.raises(CtlError, match="does not answer"):
            await suite.leader(LIST)

    assert time.monotonic() - began < 10


async def test_watch_goes_on_with_the_next_node_when_one_falls_silent() -> None:
    async with AsyncExitStack() as stack:
        first, second = await fakes(stack, {"WatchPrimaries": [entry("a"), SILENCE]}, {"WatchPrimaries": [entry("b")]})
        suite = await suite_of(stack, first.node, second.node, timeout_s=0.5)

        assert await watched(suite) == ["a", "b"]


async def test_watch_passes_over_a_node_that_is_gone() -> None:
    async with AsyncExitStack() as stack:
        (second,) = await fakes(stack, {"WatchPrimaries": [entry("b")]})
        suite = await suite_of(stack, Node("127.0.0.1", free_base_port(2)), second.node)

        assert await watched(suite) == ["b"]


async def test_watch_ends_when_the_only_node_falls_silent() -> None:
    async with AsyncExitStack() as stack:
        (node,) = await fakes(stack, {"WatchPrimaries": [SILENCE]})
        suite = await suite_of(stack, node.node, timeout_s=0.3)

        with pytest.raises(CtlError, match="did not answer in time"):
            await watched(suite)

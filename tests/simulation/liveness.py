"""Liveness mode: everything is healed; then a leader, progress and equal members are due within bounds (21.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from services.consensus.raft.model import MILLISECOND
from tests.simulation.process import Fate, Reply

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World

LONGEST_PAUSE = 3000 * MILLISECOND
PROBES = 20


def demand_liveness(world: World) -> None:
    """Heal everything, and demand a leader within 10 max, equal members within 20 max, and no storm of messages."""
    world.calm = True
    late_until = (
        world.now + world.weights.delay_max + world.weights.tail_max
    )  # What was sent before may arrive till then.
    world.weights = replace(world.weights, fsync_min=100_000, fsync_max=5 * MILLISECOND)
    world.nemesis.end()
    world.operators.replace_quarantined()
    limit = world.weights.election_max
    _await(world, "a leader with a lease", LONGEST_PAUSE + 10 * limit, lambda: _leader(world) is not None)
    _commit_something(world, LONGEST_PAUSE + 20 * limit)
    _await(world, "equal members", LONGEST_PAUSE + 20 * limit, lambda: _is_settled(world))
    for node in [node for node in world.nodes.values() if node not in world.members()]:
        node.retire()  # A former member may still be told what it missed, until it knows.
    world.run_until(max(world.now + 2 * limit, late_until))
    _demand_quiet(world)
    _demand_economy(world)


def _commit_something(world: World, within: int) -> None:
    """The first leader may be deposed, hand over, or be full, with what it was told: say it again."""
    answers: list[Reply] = []
    end = world.now + within
    while not any(answer.fate is Fate.DONE for answer in answers):
        if world.now >= end:
            world.fail("LIVE", f"nothing is committed: {'; '.join(map(_describe, world.nodes.values()))}")
        leader, waiter = _leader(world), world.new_waiter()
        if leader is not None:
            world.expect(waiter, answers.append)
            leader.propose(b"last", waiter)
        world.run_until(world.now + 200 * MILLISECOND)


def _demand_quiet(world: World) -> None:
    """Nothing is sent but heartbeats when nothing happens, and now and then a write of the executor."""
    before = _messages(world), world.checker.raft.committed_index
    world.run_until(world.now + 1000 * MILLISECOND)
    _demand_few(world, before, "in a second without clients")


def _demand_economy(world: World) -> None:
    """A commit costs a bounded number of messages."""
    before = _messages(world), world.checker.raft.committed_index
    for number in range(PROBES):
        leader = _leader(world)
        if leader is not None:
            leader.propose(b"probe %d" % number, world.new_waiter())
        world.run_until(world.now + 20 * MILLISECOND)
    _demand_few(world, before, f"for {PROBES} entries")


def _demand_few(world: World, before: tuple[int, int], when: str) -> None:
    messages, commits = _messages(world) - before[0], world.checker.raft.committed_index - before[1]
    peers = len(world.nodes)
    if messages > 4 * peers * (commits + 3):
        world.fail("STORM", f"{messages} Appends and answers {when}, {commits} entries committed")


def _messages(world: World) -> int:
    return world.network.append_count + world.network.answer_count


def _await(world: World, what: str, within: int, condition: Callable[[], bool]) -> None:
    end = world.now + within
    while not condition():
        if world.now >= end:
            world.fail("LIVE", f"no {what}: {'; '.join(map(_describe, world.nodes.values()))}")
        world.run_until(world.now + 50 * MILLISECOND)


def _describe(node: Node) -> str:
    """Return where a member stands, and whom it feeds from where."""
    status = node.core.status()
    peers = ",".join(f"{p.member_id}:{p.state.value}:{p.match_index}<{p.next_index}" for p in status.peers)
    life = "retired" if node.retired else "up" if node.running else "down"
    return (
        f"{node.member_id} {life} {status.role.value} term {status.term} leader {status.leader} "
        f"log {status.mark.index}..{status.last_index} commit {status.commit_index} applied {status.applied_index} "
        f"voters {status.configuration.voters} peers {peers or '-'} {status.store_health.value} {status.quarantine}"
    )


def _leader(world: World) -> Node | None:
    """Return the leader, when there is one that has a lease, and everybody is awake."""
    leaders = [node for node in world.members() if node.leads]
    awake = all(node.running for node in world.members())
    return leaders[0] if awake and len(leaders) == 1 and leaders[0].lease.valid_at(leaders[0].clock()) else None


def _is_settled(world: World) -> bool:
    """Tell whether all members have the same log, durable and applied; executors may be a few entries ahead.

    What a disk that was stuck held back has left by then, all at once.
    """
    nodes = [node for node in world.members() if not node.quarantine]
    if len(nodes) < len(world.members()) or any(node.holds_messages for node in nodes):
        return False
    applied = [node.machine.mark.applied_index for node in nodes]
    durable = [node.disk.store.last_index for node in nodes]
    return min(*applied, *durable) >= world.checker.raft.committed_index - 8

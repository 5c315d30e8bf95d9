"""Operators: transfers, members that join, are promoted, replaced and removed, preferences, step-down (8, 9)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from services.consensus.raft.configuration import Configuration, GroupMember, MemberKind
from services.consensus.raft.events import (
    AddLearner,
    LocalReadiness,
    MemberChange,
    MemberChangeRequested,
    PromoteMember,
    RemoveMember,
    TransferRequested,
    UpdateMember,
)
from services.consensus.raft.model import MILLISECOND, NOBODY
from tests.simulation.process import NOT_DONE, Answer, Fate, Pause, Process, Reply, Script

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World

MAX_MEMBERS = 7
MIN_VOTERS = 2
PREFERENCES = (0, 10, 50, 100)
PATIENCE = 1500 * MILLISECOND


def member_of(member_id: int) -> GroupMember:
    """Return a voter with an address of its own."""
    host = f"10.0.0.{member_id}"
    return GroupMember(member_id, "", f"node{member_id}", f"{host}:50055", f"{host}:50054")


class Operators:
    """People at the command line, by the weights of the seed."""

    def __init__(self, world: World) -> None:
        """Start, if there are any."""
        self._world = world
        self._names = [name for name, _ in world.weights.operators]
        self._chances = [chance for _, chance in world.weights.operators]
        self.changing = False
        self.change_count = 0
        self.transfer_count = 0
        if self._names:
            Process(world, self._live())

    def replace_quarantined(self) -> None:
        """Begin to replace every member that must not be trusted (14.6)."""
        Process(self._world, self._rejoin())

    def _live(self) -> Script[None]:
        world = self._world
        while not world.calm:
            yield Pause(int(world.rng.expovariate(1) * world.weights.operator_pause) + 1)
            name = world.rng.choices(self._names, self._chances)[0]
            world.remark(f"operator {name}")
            yield from getattr(self, f"_{name}")()

    def _rejoin(self) -> Script[None]:
        world = self._world
        while True:
            lost = [node for node in world.nodes.values() if node.quarantine and not node.retired]
            for node in lost:
                if self._configuration().find(node.member_id) is None:
                    node.retire()
                elif (yield from self._change(RemoveMember(node.member_id), force=True)):
                    node.retire()
                    if len(self._configuration().voters) < 3:
                        yield from self._add_and_promote()
            yield Pause(200 * MILLISECOND)

    def _transfer(self) -> Script[None]:
        yield from self._hand_over(hold=0)

    def _step_down(self) -> Script[None]:
        yield from self._hand_over(hold=self._world.rng.choice((0, 500, 2000)) * MILLISECOND)

    def _hand_over(self, hold: int) -> Script[None]:
        world, rng, leader = self._world, self._world.rng, self._leader()
        if leader is None:
            return
        if rng.random() < 0.2:
            leader.take(LocalReadiness(rng.random() < 0.5))
        target = rng.choice((NOBODY, *self._configuration().ids))
        waiter = world.new_waiter()
        drain = rng.choice((10, 500, 5000)) * MILLISECOND
        forced = world.weights.instances_fence and rng.random() < 0.2  # A statement may still run then: see F9.
        leader.take(TransferRequested(target, drain, waiter, forced, hold))
        self.transfer_count += 1
        yield Answer(waiter, PATIENCE)

    def _add(self) -> Script[None]:
        yield from self._add_learner()

    def _add_learner(self) -> Script[int]:
        """Start a blank member and take it in; return its id, 0 = refused."""
        if len(self._configuration().ids) >= MAX_MEMBERS:
            return 0
        node = self._world.join()
        learner = replace(
            member_of(node.member_id), kind=MemberKind.LEARNER, auto_promote=self._world.rng.random() < 0.3
        )
        if (yield from self._change(AddLearner(learner))):
            return node.member_id
        return 0

    def _promote(self) -> Script[None]:
        learners = [member for member in self._configuration().members if member.kind is MemberKind.LEARNER]
        if learners:
            yield from self._change(PromoteMember(self._world.rng.choice(learners).member_id))

    def _remove(self) -> Script[None]:
        configuration = self._configuration()
        chosen = self._world.rng.choice(configuration.members)
        if chosen.kind is MemberKind.VOTER and (len(configuration.voters) <= MIN_VOTERS or self._is_weak()):
            return
        if (yield from self._change(RemoveMember(chosen.member_id))) and self._world.rng.random() < 0.5:
            self._world.nodes[chosen.member_id].retire()

    def _replace(self) -> Script[None]:
        """Add, catch up, promote, remove (M4)."""
        old = self._world.rng.choice(self._configuration().voters)
        if (yield from self._add_and_promote()) and not self._is_weak():
            yield from self._change(RemoveMember(old))

    def _add_and_promote(self) -> Script[bool]:
        added = yield from self._add_learner()
        for _ in range(20 if added else 0):
            yield Pause(100 * MILLISECOND)
            found = self._configuration().find(added)
            if found is None:
                return False
            if found.kind is MemberKind.VOTER or (yield from self._change(PromoteMember(added))):
                return True
        return False

    def _prefer(self) -> Script[None]:
        member = self._world.rng.choice(self._configuration().members)
        preference = self._world.rng.choice(PREFERENCES)
        yield from self._change(UpdateMember(replace(member, preference=preference)))

    def _change(self, change: MemberChange, force: bool = False) -> Script[bool]:
        """Ask the leader; True when the change is committed."""
        reply: Reply = NOT_DONE
        leader = self._leader()
        if leader is not None:
            waiter = self._world.new_waiter()
            stamp_ms = self._world.now // MILLISECOND
            leader.take(MemberChangeRequested(change, stamp_ms, waiter, force))
            self.changing = True
            reply = yield Answer(waiter, PATIENCE)
            self.changing = False
        done = reply.fate is Fate.DONE
        self.change_count += done
        if not done:
            yield Pause(10 * MILLISECOND)
        return done

    def _is_weak(self) -> bool:
        """Tell whether a voter must not be trusted: then nobody takes a good one out."""
        return any(self._world.nodes[voter].doubtful for voter in self._configuration().voters)

    def _leader(self) -> Node | None:
        leaders = [node for node in self._world.nodes.values() if node.leads]
        return self._world.rng.choice(leaders) if leaders else None

    def _configuration(self) -> Configuration:
        """Return the newest configuration that anybody applied."""
        return self._world.configuration()

"""What goes wrong, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from services.consensus.events import PeerUnreachable
from services.consensus.model import MILLISECOND, Role, StoreHealth

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World


class Nemesis:
    """Breaks a world, by the weights its seed drew."""

    def __init__(self, world: World) -> None:
        """Strike for the first time after a pause."""
        self._world = world
        self._names = [name for name, _ in world.weights.nemesis]
        self._chances = [chance for _, chance in world.weights.nemesis]
        self._plan()

    def end(self) -> None:
        """Put everything right again."""
        world = self._world
        world.cut.clear()
        world.late.clear()
        for node in world.nodes:
            node.disk_stuck_until = 0
            if not node.up:
                node.start()
            node.set_health(StoreHealth.OK)

    def _plan(self) -> None:
        world = self._world
        world.schedule(int(world.rng.expovariate(1) * world.weights.nemesis_pause) + 1, self._strike)

    def _strike(self) -> None:
        world = self._world
        if world.now >= world.weights.fault_time:
            return
        name = world.rng.choices(self._names, self._chances)[0]
        node = self._aim()
        world.remark(f"nemesis {name} {node.member_id}")
        getattr(self, f"_{name}")(node)
        self._plan()

    def bounce(self, node: Node, life: int) -> None:
        """Crash a member in that life, and start it again soon."""
        if node.up and node.life == life:
            node.crash()
            self._world.schedule(self._world.rng.randint(1, 100) * MILLISECOND, self._restart, node)

    def _aim(self) -> Node:
        """Choose a victim: the leader often, else any."""
        world = self._world
        leaders = [node for node in world.nodes if node.running and node.leadership.role is Role.LEADER]
        return world.rng.choice(
            leaders if leaders and world.rng.random() < world.weights.aim_at_leader else world.nodes
        )

    def _crash(self, node: Node) -> None:
        if self._world.rng.random() < 0.5:
            self.bounce(node, node.life)
        elif node.up:
            node.crash()

    def _restart(self, node: Node) -> None:
        if not node.up:
            node.start()

    def _pause(self, node: Node) -> None:
        if node.up:
            node.pause(self._world.rng.choice((100, 250, 400, 1000, 3000)) * MILLISECOND)

    def _split(self, node: Node) -> None:
        ids = [n.member_id for n in self._world.nodes]
        side = set(self._world.rng.sample(ids, len(ids) // 2))
        self._world.cut = {(a, b) for a in ids for b in ids if (a in side) != (b in side)}

    def _isolate(self, node: Node) -> None:
        for other in self._world.nodes:
            self._cut(node.member_id, other.member_id)
            self._cut(other.member_id, node.member_id)

    def _one_way(self, node: Node) -> None:
        self._cut(node.member_id, self._other(node).member_id)

    def _link(self, node: Node) -> None:
        other = self._other(node)
        self._cut(node.member_id, other.member_id)
        self._cut(other.member_id, node.member_id)

    def _clog(self, node: Node) -> None:
        """Make everything that comes to a member late."""
        extra = self._world.rng.choice((30, 100, 200, 280)) * MILLISECOND
        for other in self._world.nodes:
            self._world.late[other.member_id, node.member_id] = extra

    def _rival(self, node: Node) -> None:
        """Let a rival grow beside a leader: cut the two, make answers late, then cut the leader off entirely."""
        world = self._world
        self._heal(node)
        self._link(node)
        if world.rng.random() < 0.7:
            self._clog(node)
        world.schedule(world.rng.randint(300, 1200) * MILLISECOND, self._unless_calm, self._isolate, node)
        third = world.rng.choice(world.nodes)
        if third is not node and world.rng.random() < 0.5:
            delay = world.rng.randint(250, 1000) * MILLISECOND
            world.schedule(delay, self._unless_calm, self.bounce, third, third.life)

    def _unless_calm(self, action: Callable[..., None], *args: Any) -> None:
        if not self._world.calm:
            action(*args)

    def _other(self, node: Node) -> Node:
        """Choose another member; in a group of one there is none."""
        return self._world.rng.choice([other for other in self._world.nodes if other is not node] or [node])

    def _cut(self, sender: int, receiver: int) -> None:
        self._world.cut.add((sender, receiver))
        node = self._world.nodes[sender - 1]
        if node.running and self._world.rng.random() < 0.5:
            node.take(PeerUnreachable(receiver))

    def _heal(self, node: Node) -> None:
        self._world.cut.clear()
        self._world.late.clear()

    def _slow_disk(self, node: Node) -> None:
        node.disk_stuck_until = self._world.now + self._world.rng.choice((50, 300, 1000, 3000)) * MILLISECOND

    def _full(self, node: Node) -> None:
        if node.running:
            node.set_health(self._world.rng.choice((StoreHealth.FULL, StoreHealth.SLOW, StoreHealth.FAILED)))
            life, pause = node.life, self._world.rng.randint(100, 1500) * MILLISECOND
            self._world.schedule(pause, self._recovered, node, life)

    def _recovered(self, node: Node, life: int) -> None:
        if node.up and node.life == life:
            node.set_health(StoreHealth.OK)

    def _everybody(self, node: Node) -> None:
        for member in self._world.nodes:
            if member.up:
                member.crash()
            self._world.schedule(self._world.rng.randint(1, 300) * MILLISECOND, self._restart, member)

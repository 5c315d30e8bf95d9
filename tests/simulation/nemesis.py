"""What goes wrong, and when."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from services.consensus.raft.model import MILLISECOND, Role, StoreHealth

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
        world.network.heal()
        for node in world.nodes.values():
            node.disk_stuck_until = 0
            if not node.up and not node.retired:
                node.start()
            if node.up:
                node.set_health(StoreHealth.OK)

    def bounce(self, node: Node, life: int) -> None:
        """Crash a member in that life, and start it again soon."""
        if node.up and node.life == life:
            node.crash()
            self._world.schedule(self._world.rng.randint(1, 100) * MILLISECOND, self._restart, node)

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
        world.faults[name] += 1
        getattr(self, f"_{name}")(node)
        self._plan()

    def _aim(self) -> Node:
        """Choose a victim: the leader often, else any."""
        world = self._world
        nodes = [node for node in world.nodes.values() if not node.retired]
        leaders = [node for node in nodes if node.running and node.leadership.role is Role.LEADER]
        return world.rng.choice(leaders if leaders and world.rng.random() < world.weights.aim_at_leader else nodes)

    # Processes.

    def _crash(self, node: Node) -> None:
        if self._world.rng.random() < 0.5:
            self.bounce(node, node.life)
        elif node.up:
            node.crash()

    def _restart(self, node: Node) -> None:
        if not node.up and not node.retired:
            node.start()

    def _pause(self, node: Node) -> None:
        if node.up:
            node.pause(self._world.rng.choice((100, 250, 400, 1000, 3000)) * MILLISECOND)

    def _freeze(self, node: Node) -> None:
        """Suspend a whole host: it hears nothing meanwhile, and nobody hears it for a little longer."""
        if node.up:
            length = self._world.rng.choice((400, 1000, 3000)) * MILLISECOND
            self._isolate(node)
            node.pause(length)
            self._world.schedule(length + self._world.rng.randint(1, 300) * MILLISECOND, self._heal, node)

    def _everybody(self, node: Node) -> None:
        for member in self._world.nodes.values():
            if member.up:
                member.crash()
            self._world.schedule(self._world.rng.randint(1, 300) * MILLISECOND, self._restart, member)

    # Links.

    def _split(self, node: Node) -> None:
        ids = list(self._world.nodes)
        side = set(self._world.rng.sample(ids, len(ids) // 2))
        self._world.network.cut = {(a, b) for a in ids for b in ids if (a in side) != (b in side)}

    def _isolate(self, node: Node) -> None:
        for other in self._world.nodes:
            self._cut_both(node.member_id, other)

    def _one_way(self, node: Node) -> None:
        self._world.network.cut_link(node.member_id, self._other(node).member_id)

    def _link(self, node: Node) -> None:
        self._cut_both(node.member_id, self._other(node).member_id)

    def _cut_both(self, one: int, other: int) -> None:
        self._world.network.cut_link(one, other)
        self._world.network.cut_link(other, one)

    def _clog(self, node: Node) -> None:
        """Make everything that comes to a member late."""
        extra = self._world.rng.choice((30, 100, 200, 280)) * MILLISECOND
        for other in self._world.nodes:
            self._world.network.late[other, node.member_id] = extra

    def _rival(self, node: Node) -> None:
        """Let a rival grow beside a leader: cut the two, make answers late, then cut the leader off entirely."""
        world = self._world
        self._heal(node)
        self._link(node)
        if world.rng.random() < 0.7:
            self._clog(node)
        world.schedule(world.rng.randint(300, 1200) * MILLISECOND, self._unless_calm, self._isolate, node)
        third = world.rng.choice(list(world.nodes.values()))
        if third is not node and world.rng.random() < 0.5:
            delay = world.rng.randint(250, 1000) * MILLISECOND
            world.schedule(delay, self._unless_calm, self.bounce, third, third.life)

    def _heal(self, node: Node) -> None:
        self._world.network.heal()

    def _other(self, node: Node) -> Node:
        """Choose another member; in a group of one there is none."""
        return self._world.rng.choice([other for other in self._world.nodes.values() if other is not node] or [node])

    def _unless_calm(self, action: Callable[..., None], *args: Any) -> None:
        if not self._world.calm:
            action(*args)

    # Disks.

    def _slow_disk(self, node: Node) -> None:
        node.disk_stuck_until = self._world.now + self._world.rng.choice((50, 300, 1000, 3000)) * MILLISECOND

    def _full(self, node: Node) -> None:
        """Let the store have no space, no connection, or too much to do; the disk goes on when that is over."""
        if not node.running:
            return
        health = self._world.rng.choice((StoreHealth.FULL, StoreHealth.SLOW, StoreHealth.FAILED))
        pause = self._world.rng.randint(100, 1500) * MILLISECOND
        if health is not StoreHealth.SLOW:
            node.disk_stuck_until = max(node.disk_stuck_until, self._world.now + pause)
        node.set_health(health)
        self._world.schedule(pause, self._recovered, node, node.life)

    def _recovered(self, node: Node, life: int) -> None:
        if node.up and node.life == life:
            node.set_health(StoreHealth.OK)

    def _lie(self, node: Node) -> None:
        """From now on the disk forgets everything at the next crash, whatever it said of fsync."""
        if node.up and self._may_forget(node):
            node.disk.take_backup()
            node.disk.lying = True
            self._world.schedule(self._world.rng.randint(200, 1500) * MILLISECOND, self._forget, node)

    def _backup(self, node: Node) -> None:
        """Copy a store, and put the copy in its place later."""
        if node.up and self._may_forget(node):
            node.disk.take_backup()
            self._world.schedule(self._world.rng.randint(200, 3000) * MILLISECOND, self._forget, node)

    def _forget(self, node: Node) -> None:
        """Crash a member whose disk lost so much that the file beside it tells of it (14.6); else it lost nothing."""
        if self._world.calm or node.retired or not node.disk.backup_is_behind or not self._may_forget(node):
            node.disk.lying = False
            return
        if node.up:
            node.crash()
        if node.disk.has_backup:
            node.disk.restore()
        self._world.schedule(self._world.rng.randint(1, 200) * MILLISECOND, self._restart, node)

    def _rot(self, node: Node) -> None:
        """Damage a store: found when it starts next."""
        if self._may_forget(node):
            node.disk.rot(self._world.rng)
            self.bounce(node, node.life)

    def _may_forget(self, node: Node) -> bool:
        """Tell whether a majority of the voters can be trusted without this one: what more forget is lost (1).

        A configuration that is in any log counts, too: it may yet be committed.
        """
        if self._world.operators.changing:
            return False
        groups = {member.core.status().configuration.voters for member in self._world.nodes.values()}
        groups.add(tuple(self._world.checker.raft.committed_voters()))
        return all(self._good_without(node, voters) for voters in groups if voters)

    def _good_without(self, node: Node, voters: Collection[int]) -> bool:
        good = [voter for voter in voters if voter != node.member_id and not self._world.nodes[voter].doubtful]
        return 2 * len(good) > len(voters)

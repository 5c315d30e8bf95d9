"""Clients: a flood that nobody answers for, and a few that write and read registers and keep their history (21.5).

Writes carry a request id, and are repeated under it when their outcome is not known (I12). A refusal by the rules is
certain, unless an earlier try under the same id may have taken effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.consensus.raft.model import MILLISECOND, Role
from services.consensus.state.commands import encode_command
from services.consensus.state.machine import Machine
from tests.proof.history import History
from tests.proof.linearizability import SearchTooLarge, check
from tests.proof.models import Read, Write
from tests.simulation.process import NOT_DONE, Answer, Fate, Pause, Process, Reply, Script
from tests.simulation.registers import ClientRegister, DirectoryRegister, SettingRegister, scratch

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World

TRIES = 4
SCRATCH_SHARE = 0.3
PATIENCE = 400 * MILLISECOND
SEARCH_LIMIT = 200_000
"""Steps after which the search for an order is given up: such a history says nothing."""


class Load:
    """Proposes opaque commands and reads, as fast as the seed wants it."""

    def __init__(self, world: World) -> None:
        """Start now."""
        self._world = world
        world.schedule(0, self._act)

    def _act(self) -> None:
        world, weights = self._world, self._world.weights
        if world.calm:
            return
        world.schedule(int(world.rng.expovariate(1) * weights.load_pause) + 1, self._act)
        node = choose_node(world)
        if node is None:
            return
        for _ in range(weights.load_burst):
            waiter = world.new_waiter()
            if world.rng.random() < weights.read_share:
                world.checker.read_asked(waiter)
                node.read(waiter)
            else:
                node.propose(b"load %d" % waiter, waiter)


class Clients:
    """Those whose history must be linearizable."""

    def __init__(self, world: World) -> None:
        """Start as many as the seed wants."""
        self._world = world
        self._written = 0
        self._histories: list[tuple[ClientRegister, History]] = [
            (register, History(lambda: world.now)) for register in (SettingRegister(), DirectoryRegister())
        ]
        for number in range(world.weights.client_count):
            Process(world, self._live(number))

    @property
    def operation_count(self) -> int:
        """How much was asked."""
        return sum(len(history.operations()) for _, history in self._histories)

    def check(self) -> None:
        """Look for an order that explains everything that was answered."""
        for register, history in self._histories:
            try:
                violation = check(history.operations(), register.model, limit=SEARCH_LIMIT)
            except SearchTooLarge:
                continue
            if violation is not None and self._world.checker.leases.clocks_hold:
                self._world.fail("LINEARIZABLE", str(violation))

    def _live(self, number: int) -> Script[None]:
        world = self._world
        while not world.calm:
            yield Pause(int(world.rng.expovariate(1) * world.weights.client_pause) + 1)
            register, history = world.rng.choice(self._histories)
            key = world.rng.choice(register.keys)
            if world.rng.random() < SCRATCH_SHARE:
                self._scratch()
            if world.rng.random() < world.weights.read_share:
                yield from self._read(number, key, register, history)
            else:
                yield from self._write(number, key, register, history)

    def _scratch(self) -> None:
        node, waiter = choose_node(self._world), self._world.new_waiter()
        if node is not None:
            node.propose(encode_command(scratch(waiter)), waiter)

    def _read(self, number: int, key: str, register: ClientRegister, history: History) -> Script[None]:
        node, waiter = choose_node(self._world), self._world.new_waiter()
        if node is None:
            return
        begun = history.invoke(number, key, Read())
        self._world.checker.read_asked(waiter)
        node.read(waiter)
        reply: Reply = yield Answer(waiter, PATIENCE)
        if reply.fate is Fate.DONE and isinstance(reply.result, Machine):
            history.answered(begun, register.read(reply.result, key))
        else:
            history.refused(begun)  # A read that was not answered leaves no trace.

    def _write(self, number: int, key: str, register: ClientRegister, history: History) -> Script[None]:
        """Write a value of its own, and repeat under the same id until the outcome is known or patience ends."""
        self._written += 1
        value, unknown = f"v{self._written}", False
        begun = history.invoke(number, key, Write(value))
        for _ in range(TRIES):
            reply = yield from self._ask(key, value, register)
            if reply.fate is Fate.DONE:
                answer = register.written(reply.result)
                if answer is not None:
                    history.answered(begun, answer)
                elif not unknown:
                    history.refused(begun)
                return
            unknown = unknown or reply.fate is Fate.UNKNOWN
            yield Pause(self._world.rng.randint(1, 50) * MILLISECOND)
        if not unknown:
            history.refused(begun)

    def _ask(self, key: str, value: str, register: ClientRegister) -> Script[Reply]:
        world = self._world
        node, waiter = choose_node(world), world.new_waiter()
        if node is None:
            yield Pause(10 * MILLISECOND)
            return NOT_DONE
        command = register.write(key, value, world.checker.leases.newest_grant)
        node.propose(encode_command(command), waiter)
        reply: Reply = yield Answer(waiter, PATIENCE)
        return reply


def choose_node(world: World) -> Node | None:
    """Return a member that leads, or sometimes any; a paused one answers when it wakes."""
    up = [node for node in world.nodes.values() if node.up]
    leading = [node for node in up if node.leadership.role is Role.LEADER]
    targets = leading if leading and world.rng.random() < 0.9 else up
    return world.rng.choice(targets) if targets else None

"""What a member does by itself, beside what it is asked: the chores of a leader, and telling whether it is ready.

Each kind of work has a task of its own, so that one that waits for a commit holds up no other. A refusal means that
another member leads by now or that the next round succeeds, so it is never an error here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from services.consensus.app import ConsensusApp
from services.consensus.group_changes import GroupChanges
from services.consensus.lease_holders import LeaseHolders
from services.consensus.member_loop import ChangeRefused, NotLeading
from services.consensus.ports import WallClock
from services.consensus.raft.succession import Succession
from services.consensus.readiness import Readiness
from services.consensus.state.chores import Acquaintance, Chores, leads_out, newest_common_version, wanted_changes
from services.consensus.state.group_commands import ExpireSession, RaiseGroupVersion
from services.consensus.state.registry.commands import EndDue
from services.consensus.state.sessions import Session
from services.shared.runtime.errors import DomainError

log = logging.getLogger(__name__)

ROUND_S: Final = 0.25
"""How often a leader looks for work nobody tells it of."""


class SilentSessions:
    """Sessions of programs that were not heard, by this leader's clock (P3)."""

    def __init__(self, ttl_ns: int) -> None:
        """Know nobody yet."""
        self._ttl_ns = ttl_ns
        self._seen: dict[int, tuple[int, int]] = {}

    def take(self, sessions: Iterable[Session], now: int) -> tuple[Session, ...]:
        """Return those without an entry of theirs for the time to live; a new leader gives each its full time."""
        seen = self._seen
        self._seen = {}
        for session in sessions:
            index, since = seen.get(session.session_id, (0, now))
            self._seen[session.session_id] = (session.last_index, since if index == session.last_index else now)
        return tuple(session for session in sessions if now - self._seen[session.session_id][1] > self._ttl_ns)


class Upkeep:
    """Runs until cancelled."""

    def __init__(
        self,
        app: ConsensusApp,
        holders: LeaseHolders,
        changes: GroupChanges,
        readiness: Readiness,
        succession: Succession,
        sessions: SilentSessions,
        acquainted: Callable[[], Mapping[int, Acquaintance]],
        wall_clock: WallClock,
        *,
        auto_promote: bool,
        version_stable_ns: int,
    ) -> None:
        """Take what the work is done with.

        Args:
            app: This member.
            holders: Of leases beside it.
            changes: Of the group.
            readiness: Of this node.
            succession: Tells when to hand over.
            sessions: Tells which programs are silent.
            acquainted: What members said of themselves in their newest hello, this one included, by id.
            wall_clock: T4.
            auto_promote: Let learners vote that were added for it.
            version_stable_ns: How long all voters speak a newer version before it is raised unasked (18.4).
        """
        self._app = app
        self._loop = app.loop
        self._holders = holders
        self._changes = changes
        self._readiness = readiness
        self._succession = succession
        self._sessions = sessions
        self._acquainted = acquainted
        self._wall_clock = wall_clock
        self._auto_promote = auto_promote
        self._version_stable_ns = version_stable_ns
        self._version_since: tuple[int, int] = (0, 0)

    async def run(self) -> None:
        """Do all of it, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_draining())
            for work in (self._tell_readiness, self._end_silent, self._end_due, self._change_group, self._hand_over):
                tasks.create_task(self._repeat(work))

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except (DomainError, NotLeading, ChangeRefused) as refusal:
                log.debug("consensus.chore_refused", extra={"work": work.__name__, "problem": str(refusal)})
            await asyncio.sleep(ROUND_S)

    async def _keep_draining(self) -> None:
        """Say at once when lease holders are done (8.1 b)."""
        loop = self._loop
        while True:
            count = loop.applied.count
            if loop.draining and not self._app.holders_act():
                loop.drained()
            signal = loop.applied if loop.draining else loop.leader_changed
            await signal.wait_beyond(count if loop.draining else signal.count, ROUND_S)

    async def _tell_readiness(self) -> None:
        expected = bool(self._app.member().recovery_endpoint)
        ready = self._readiness.judge(self._loop.read_clock(), expected=expected)
        if ready != self._loop.status().ready:
            log.info("consensus.ready" if ready else "consensus.not_ready")
            self._loop.set_ready(ready=ready)

    async def _end_silent(self) -> None:
        await self._holders.expire_silent()
        sessions = self._loop.machine.sessions.all() if self._app.leads else ()
        for session in self._sessions.take(sessions, self._loop.read_clock()):
            await self._app.propose(ExpireSession(session.session_id, session.last_index))

    async def _end_due(self) -> None:
        due_ms = self._loop.machine.registry.due_ms
        if self._app.leads and due_ms is not None and self._wall_clock() >= due_ms:
            await self._app.propose(EndDue())

    async def _change_group(self) -> None:
        if not self._app.leads:
            return
        acquainted = self._acquainted()
        seen = Chores(
            self._loop.configuration,
            {member_id: known.incarnation for member_id, known in acquainted.items()},
            self._loop.machine.replacements.open(),
            self._auto_promote,
        )
        for change in wanted_changes(seen):
            if self._loop.judge_change(change) is None:
                await self._loop.change_members(change, self._app.commit_s)
                return
        await self._raise_version(acquainted)

    async def _raise_version(self, acquainted: Mapping[int, Acquaintance]) -> None:
        spoken = {member_id: known.version for member_id, known in acquainted.items()}
        version, now = newest_common_version(self._loop.configuration, spoken), self._loop.read_clock()
        if version != self._version_since[0]:
            self._version_since = version, now
        if version > self._loop.machine.group.version and now - self._version_since[1] >= self._version_stable_ns:
            log.info("consensus.group_version_raised", extra={"group_version": version})
            await self._app.propose(RaiseGroupVersion(version))

    async def _hand_over(self) -> None:
        """Hand over when another member is preferred, when this node cannot act, or when it is to be removed."""
        machine, status = self._loop.machine, self._loop.status()
        self._succession.retime(self._app.timing().election_min)
        busy = self._app.leads and any(recovery.is_open for recovery in machine.journal.all())
        handover = self._succession.decide(status, self._loop.read_clock(), busy=busy)
        if handover is not None:
            log.info("consensus.hands_over", extra={"reason": handover.reason.value, "member": handover.target})
            await self._changes.transfer(handover.target)
        elif self._app.leads and leads_out(machine.replacements.open(), self._app.member()):
            await self._changes.transfer()

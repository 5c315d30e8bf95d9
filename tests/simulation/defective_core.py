"""A core and a state machine with a mistake built in, and a disk nobody waits for (21.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from services.consensus.raft.core import RaftCore
from services.consensus.raft.election import Elections
from services.consensus.raft.following import Following
from services.consensus.raft.leading import Leading
from services.consensus.raft.messages import AppendAck, Message, VoteResponse
from services.consensus.raft.model import NOBODY, BootState, CoreSettings
from services.consensus.state.machine import Machine, Mark
from services.consensus.state.rows import Row
from tests.simulation.defect import Defect
from tests.simulation.defective_parts import CONFIGURATIONS, ELECTIONS, FOLLOWING, LEADING, LEASES, AbaAccepted


def waits_for_disk(defect: Defect, message: Message) -> bool:
    """Tell whether a message honours the batch it names (C1)."""
    hasty = {Defect.ACK_BEFORE_FSYNC: AppendAck, Defect.VOTE_BEFORE_FSYNC: VoteResponse}.get(defect)
    return hasty is None or not isinstance(message, hasty)


def new_machine(defect: Defect, mark: Mark, tables: Mapping[str, Iterable[Row]]) -> Machine:
    """Return a state machine with one defect, or with none."""
    machine = Machine(mark, tables)
    if defect in LEASES:
        leases = LEASES[defect]()
        leases.__dict__.update(machine.leases.__dict__)
        machine.leases = leases
    return machine


class DefectiveCore(RaftCore):
    """A core with one defect, or with none."""

    def __init__(self, settings: CoreSettings, boot: BootState, seed: int, now: int, defect: Defect) -> None:
        """Start like a core."""
        self._defect = defect
        if defect is Defect.VOTE_FORGOTTEN:
            boot = replace(boot, hard_state=replace(boot.hard_state, voted_for=NOBODY))
        elif defect is Defect.NO_QUIET_AFTER_START:
            boot = replace(boot, hard_state=replace(boot.hard_state, promise_max_ns=0))
        super().__init__(settings, boot, seed, now)
        if defect is Defect.ABA_ACCEPTED:
            self._member.durability = AbaAccepted(self._member.log, boot.hard_state)
        if defect in CONFIGURATIONS:
            known = CONFIGURATIONS[defect](boot.configuration, boot.configuration_index, boot.entries)
            self._member.configurations = known

    @property
    def term(self) -> int:
        """Newest term seen."""
        return self._member.term

    @property
    def log_length(self) -> int:
        """How many entries are behind the log's mark."""
        return self._member.log.last_index - self._member.log.mark.index

    def position_numbers(self) -> tuple[int, ...]:
        """Return what the hash of a trace is made of: where this member stands, and what it waits for."""
        member = self._member
        return (
            member.durability.hard_state.current_term,
            member.leader,
            member.commit_index,
            member.log.last_index,
            member.applied_index,
            member.promise_until,
            member.election_deadline,
        )

    def _new_elections(self) -> Elections:
        return ELECTIONS.get(self._defect, Elections)(self._member)

    def _new_following(self) -> Following:
        return FOLLOWING.get(self._defect, Following)(self._member)

    def _new_leading(self) -> Leading:
        return LEADING.get(self._defect, Leading)(self._member)

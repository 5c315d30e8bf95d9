"""When the holders of leases are done, so that leadership may be handed over (8.1 b). Pure.

A holder commits the intent of a step before it acts (F6). So nobody acts once no intent is open, none is on its way
into the log, and no new one is taken.
"""

from __future__ import annotations

from services.consensus.state.commands import AdoptRecovery, Command, GrantLease, Phase, RecordSteps, RegisterRecovery
from services.consensus.state.machine import RECOVERY_LEASE, Machine
from services.consensus.state.recovery_record import Recovery


def begins_work(command: Command) -> bool:
    """Tell whether a command lets its sender begin something: it is not taken while leadership is handed over."""
    if isinstance(command, RecordSteps):
        return any(step.phase == Phase.INTENT for step in command.steps)
    return isinstance(command, GrantLease | RegisterRecovery | AdoptRecovery)


def runs_step(machine: Machine) -> bool:
    """Tell whether the holder of the lease may be executing a step: its intent is committed, its end is not."""
    token = machine.newest_token()
    if not machine.leases.is_live(RECOVERY_LEASE, token):
        return False
    return any(_open_step(recovery, token) for recovery in machine.journal.all() if recovery.is_open)


def _open_step(recovery: Recovery, token: int) -> bool:
    return recovery.fencing_token == token and any(
        step.phase is Phase.INTENT and step.fencing_token == token for step in recovery.steps
    )

"""What an operator who changes the group can be refused with: what is in the way, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.consensus.raft.outputs import ChangeBlocker, TransferOutcome
from services.shared.runtime.errors import DomainError

_AFTER_BLOCKER: Final = {
    ChangeBlocker.NOT_READY: "the leader has just been elected; try again in a moment",
    ChangeBlocker.CHANGE_OPEN: "another change of the group is not committed yet; try again in a moment",
    ChangeBlocker.UNKNOWN_MEMBER: "no member has this id; `primacy consensus members` lists them",
    ChangeBlocker.ALREADY_MEMBER: (
        "its id, name or an endpoint is another member's, or it votes already; look at `primacy consensus members`"
    ),
    ChangeBlocker.NOT_CAUGHT_UP: (
        "the learner is behind or its store is in trouble; wait until its lag is small, or force it and risk a pause"
    ),
    ChangeBlocker.QUORUM_AT_RISK: (
        "fewer than a majority of the voters that would remain are in contact; bring members back first, "
        "or force it and risk that nobody can decide"
    ),
    ChangeBlocker.LAST_VOTER: "the group would have no voter left; add and promote another member first",
    ChangeBlocker.LEADER_ITSELF: "this member leads and does not remove itself; transfer leadership first",
    ChangeBlocker.TOO_MANY_VOTERS: "seven voters are the limit; remove one first, or leave this one a learner",
    ChangeBlocker.TRANSFER_RUNNING: "leadership is being handed over; try again in a moment, at the next leader",
}


@dataclass
class ChangeBlocked(DomainError):
    """The group may not be changed as asked now; nothing was written (M2, M5, M6)."""

    blocker: ChangeBlocker

    def __str__(self) -> str:
        return f"the change is blocked ({self.blocker.name}): {_AFTER_BLOCKER[self.blocker]}"

    def facts(self) -> dict[str, str]:
        """Return the blocker by its name."""
        return {"blocker": self.blocker.name}


_AFTER_TRANSFER: Final = {
    TransferOutcome.NO_TARGET: (
        "nobody is fit to lead: ready, caught up, with a healthy store and a preference above 0; "
        "look at `primacy consensus status`"
    ),
    TransferOutcome.UNFIT_TARGET: "that member is no voter, leads already, or its store is in trouble; choose another",
    TransferOutcome.ALREADY_RUNNING: "another transfer is under way; wait for its end",
    TransferOutcome.NOT_DRAINED: (
        "a recovery did not end its running step in time; wait for it, or force the transfer and have it adopted"
    ),
    TransferOutcome.NOT_CAUGHT_UP: "the target did not catch up in time; try again when its lag is small",
    TransferOutcome.NO_SUCCESSOR: "the target did not take over; an election decides now",
    TransferOutcome.LOST: "leadership was lost on the way; an election decides now",
}


@dataclass
class TransferRefused(DomainError):
    """Leadership was not handed over as asked (8.1)."""

    outcome: TransferOutcome

    def __str__(self) -> str:
        return f"leadership was not handed over ({self.outcome.name}): {_AFTER_TRANSFER[self.outcome]}"

    def facts(self) -> dict[str, str]:
        """Return the outcome by its name."""
        return {"outcome": self.outcome.name}


@dataclass
class ReplacementUnknown(DomainError):
    """No replacement that could still be cancelled has this id."""

    replacement_id: str

    def __str__(self) -> str:
        return f"no replacement {self.replacement_id} is under way; `primacy consensus status` lists them"


@dataclass
class InvalidSettings(DomainError):
    """The settings of the group do not go together."""

    problem: str

    def __str__(self) -> str:
        return f"the settings do not go together: {self.problem}"


@dataclass
class VersionNotSupported(DomainError):
    """The group cannot speak this version.

    Attributes:
        version: What was asked for.
        newest: Newest that every voter is known to speak.
        present: Spoken now.
    """

    version: int
    newest: int
    present: int

    def __str__(self) -> str:
        if self.version < self.present:
            return f"the group speaks version {self.present}; there is no way back to {self.version}"
        return (
            f"version {self.version} is not spoken by every voter, {self.newest} is: "
            "upgrade all voters and see that they are in contact"
        )

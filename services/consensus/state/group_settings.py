"""Settings that all members share, and the version they speak (18.4, 18.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

from services.consensus.state.group_commands import SetGroupSettings
from services.consensus.state.group_errors import InvalidSettings, VersionNotSupported
from services.consensus.state.rows import GROUP_SETTINGS, GROUP_VERSIONS, Change, Row, put
from services.shared.runtime.errors import DomainError

FIRST_GROUP_VERSION: Final = 1
MAX_GROUP_VERSION: Final = 1
"""Newest version this release speaks; it grows with every command or meaning that an older release does not know."""
_ONLY: Final = 1


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """Timers that count for every member from one log index on. Durations in nanoseconds.

    Attributes:
        heartbeat: H.
        election_min: E.
        election_max: Longest silence before a member campaigns.
        clock_drift_ppm: ρ, in millionths.
    """

    heartbeat: int
    election_min: int
    election_max: int
    clock_drift_ppm: int

    def problem(self) -> str:
        """Return which rule of section 20 they break; empty = none."""
        rules = (
            (self.heartbeat > 0, "heartbeat must be positive"),
            (self.heartbeat * 4 <= self.election_min, "heartbeat must be at most a quarter of election_min"),
            (self.election_min * 3 <= self.election_max * 2, "election_max must be at least 1.5 times election_min"),
            (self.election_max <= 3 * self.election_min, "election_max must be at most three times election_min"),
            (1_000 <= self.clock_drift_ppm < 500_000, "clock_drift_ppm must be in 1000..499999"),
        )
        return next((problem for holds, problem in rules if not holds), "")


def settings_of(command: SetGroupSettings) -> GroupSettings:
    """Return the settings a command asks for."""
    return GroupSettings(command.heartbeat, command.election_min, command.election_max, command.clock_drift_ppm)


class GroupTable:
    """What the group agreed on about itself.

    Attributes:
        settings: None = each member's own, from the start.
        settings_index: Log index that set them; 0 = nobody did.
        version: Commands that need a newer one are not proposed, and halt a member that meets one (A3).
    """

    def __init__(self, rows: Mapping[str, Iterable[Any]]) -> None:
        """Take the rows of a store."""
        self.settings: GroupSettings | None = None
        self.settings_index = 0
        for _, *values, index in rows.get(GROUP_SETTINGS, ()):
            self.settings, self.settings_index = GroupSettings(*values), index
        self.version = max((version for _, version, _ in rows.get(GROUP_VERSIONS, ())), default=FIRST_GROUP_VERSION)
        self._version_index = max((index for _, _, index in rows.get(GROUP_VERSIONS, ())), default=0)

    def rows(self) -> dict[str, Sequence[Row]]:
        """Return the rows of both tables."""
        return {
            GROUP_SETTINGS: () if self.settings is None else (self._settings_row(self.settings),),
            GROUP_VERSIONS: ((_ONLY, self.version, self._version_index),) if self._version_index else (),
        }

    def set(self, index: int, settings: GroupSettings) -> tuple[tuple[Change, ...], GroupSettings | DomainError]:
        """Replace the settings, unless they break a rule."""
        problem = settings.problem()
        if problem:
            return (), InvalidSettings(problem)
        self.settings, self.settings_index = settings, index
        return (put(GROUP_SETTINGS, self._settings_row(settings)),), settings

    def raise_version(self, index: int, version: int) -> tuple[tuple[Change, ...], int | DomainError]:
        """Raise the version; there is no way back. The answer is the version that holds."""
        if version == self.version:
            return (), version
        if version < self.version:
            return (), VersionNotSupported(version, newest=self.version, present=self.version)
        self.version, self._version_index = version, index
        return (put(GROUP_VERSIONS, (_ONLY, version, index)),), version

    def _settings_row(self, settings: GroupSettings) -> Row:
        return (_ONLY, *astuple(settings), self.settings_index)

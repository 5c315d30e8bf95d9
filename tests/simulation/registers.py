"""What clients write and read: registers as the state machine has them, with the model of each (21.5)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Protocol

from services.consensus.state.commands import Command, PublishPrimary
from services.consensus.state.directory import Primary
from services.consensus.state.machine import Machine
from services.consensus.state.registry.commands import DeleteSetting, SetSetting
from services.consensus.state.registry.origin import Origin
from services.consensus.state.registry.setting import Setting
from tests.proof.models import EpochRegister, Model, Register, Versioned

NOTHING = "nothing"
SETTINGS: Final = Register(NOTHING)
DIRECTORY: Final = EpochRegister(Versioned(NOTHING, 0))


class ClientRegister(Protocol):
    """One kind of register."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The registers there are."""
        ...

    @property
    def model(self) -> Model:
        """What each of them is."""
        ...

    def write(self, key: str, value: str, token: int) -> Command:
        """Return the command that writes a value; its request id follows from the value."""
        ...

    def written(self, result: object) -> Hashable | None:
        """Return the answer to a write that took effect; None when it was refused."""
        ...

    def read(self, machine: Machine, key: str) -> Hashable:
        """Return what a state machine has."""
        ...


@dataclass(frozen=True)
class SettingRegister:
    """Settings of the registry, written by anybody."""

    keys: tuple[str, ...] = ("colour", "shape")
    model: Model = SETTINGS

    def write(self, key: str, value: str, token: int) -> Command:
        """See `ClientRegister`."""
        del token
        return SetSetting(Origin(f"q-{value}", "client"), key, value)

    def written(self, result: object) -> Hashable | None:
        """See `ClientRegister`: the model's answer is None, so say that there was one."""
        return "written" if isinstance(result, Setting) else None

    def read(self, machine: Machine, key: str) -> Hashable:
        """See `ClientRegister`."""
        found = machine.registry.settings.get(key)
        return NOTHING if found is None else found.value


@dataclass(frozen=True)
class DirectoryRegister:
    """Primaries of clusters, written under the newest token anybody was granted; epochs count the writes."""

    keys: tuple[str, ...] = ("shop", "mail")
    model: Model = DIRECTORY

    def write(self, key: str, value: str, token: int) -> Command:
        """See `ClientRegister`."""
        return PublishPrimary(f"q-{value}", token, key, key, value, 3306, value, "r0")

    def written(self, result: object) -> Hashable | None:
        """See `ClientRegister`."""
        return Versioned(result.host, result.epoch) if isinstance(result, Primary) else None

    def read(self, machine: Machine, key: str) -> Hashable:
        """See `ClientRegister`."""
        found = machine.directory.get(key)
        return Versioned(NOTHING, 0) if found is None else Versioned(found.host, found.epoch)


def scratch(number: int) -> Command:
    """Return a command that makes or forgets a setting nobody reads: tables shrink, too."""
    origin, key = Origin(f"s-{number}", "client"), f"scratch{number % 7}"
    return SetSetting(origin, key, "x") if number % 3 else DeleteSetting(origin, key)

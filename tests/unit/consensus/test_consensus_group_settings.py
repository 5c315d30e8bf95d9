"""Settings and version of the group: checked, one for all, from one log index on (18.4, 18.5, A3)."""

from __future__ import annotations

from dataclasses import astuple, replace

import pytest

from services.consensus.state.commands import UnknownCommand
from services.consensus.state.group_commands import RaiseGroupVersion, SetGroupSettings
from services.consensus.state.group_errors import InvalidSettings, VersionNotSupported
from services.consensus.state.group_settings import GroupSettings
from services.consensus.state.machine import Machine, Mark
from services.consensus.state.rows import GROUP_VERSIONS
from tests.support.machine_script import Script, origin

MS = 1_000_000
WAN = GroupSettings(200 * MS, 1_200 * MS, 2_400 * MS, 10_000)


def test_settings_hold_from_the_entry_that_set_them() -> None:
    script = Script()
    assert script.machine.group.settings is None
    assert script.apply(SetGroupSettings(origin("q1"), *astuple(WAN))) == WAN
    for machine in (script.machine, script.restarted().machine):
        assert (machine.group.settings, machine.group.settings_index) == (WAN, 1)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(replace(WAN, heartbeat=0), id="no-heartbeat"),
        pytest.param(replace(WAN, heartbeat=301 * MS), id="heartbeat-above-a-quarter"),
        pytest.param(replace(WAN, election_max=1_799 * MS), id="max-below-one-and-a-half"),
        pytest.param(replace(WAN, election_max=3_601 * MS), id="max-above-three-times"),
        pytest.param(replace(WAN, clock_drift_ppm=999), id="drift-below-a-thousandth"),
        pytest.param(replace(WAN, clock_drift_ppm=500_000), id="drift-of-half"),
    ],
)
def test_settings_under_which_the_rules_do_not_hold_are_refused(settings: GroupSettings) -> None:
    script = Script()
    assert isinstance(script.apply(SetGroupSettings(origin("q1"), *astuple(settings))), InvalidSettings)
    assert script.machine.group.settings is None


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(replace(WAN, heartbeat=300 * MS), id="a-quarter"),
        pytest.param(replace(WAN, election_max=1_800 * MS), id="one-and-a-half"),
        pytest.param(replace(WAN, election_max=3_600 * MS), id="three-times"),
        pytest.param(replace(WAN, clock_drift_ppm=1_000), id="a-thousandth"),
    ],
)
def test_settings_at_their_bounds_are_fine(settings: GroupSettings) -> None:
    assert settings.problem() == ""


def test_version_grows_and_never_falls() -> None:
    script = Script(Machine(max_group_version=3))
    assert script.machine.group.version == 1
    assert script.apply(RaiseGroupVersion(3)) == 3
    assert script.apply(RaiseGroupVersion(3)) == 3
    assert script.apply(RaiseGroupVersion(2)) == VersionNotSupported(2, newest=3, present=3)
    assert script.restarted().machine.group.version == 3


def test_member_that_does_not_speak_the_version_halts_before_it_applies_it() -> None:
    script = Script(Machine(max_group_version=1))
    with pytest.raises(UnknownCommand):
        script.apply(RaiseGroupVersion(2))
    assert script.index == 0


def test_command_of_a_version_the_group_does_not_speak_yet_is_never_applied() -> None:
    below_the_first = Machine(Mark(), {GROUP_VERSIONS: [(1, 0, 1)]})
    with pytest.raises(UnknownCommand):
        below_the_first.apply(1, 1, 0, RaiseGroupVersion(1))
    assert below_the_first.mark == Mark()
    assert below_the_first.apply(1, 1, 0, None).result is None, "a NOOP needs no version"

"""What the group has agreed on forbids a recovery where it is registered (F7): it is told, and not tried in vain."""

from __future__ import annotations

from typing import Final

import pytest

from services.consensus.state.commands import Command
from services.consensus.state.registry.commands import BeginDowntime, EndDowntime, SetSetting
from services.recovery.forbidden import forbidden_by
from services.recovery.model import Blocker, RecoveryState
from tests.support.eventually import eventually
from tests.support.machine_script import Script, origin
from tests.support.recovery.machine_journal import MachineJournal
from tests.support.recovery.node import Node, dead_primary, quiet, running
from tests.support.recovery.topologies import CLUSTER, P

REQUEST: Final = "0b8e4d3a-0000-4000-8000-0000000000aa"
AGREED: Final = [
    pytest.param(
        SetSetting(origin("q1"), "recoveries", "off"),
        SetSetting(origin("q2"), "recoveries", "on"),
        Blocker.RECOVERIES_DISABLED,
        "primacy setting set recoveries on",
        id="switched-off",
    ),
    pytest.param(
        BeginDowntime(origin("q1"), f"instance:{P}", None, None, 60_000),
        EndDowntime(origin("q2"), f"instance:{P}"),
        Blocker.DOWNTIME,
        f"primacy downtime end {P}",
        id="instance-in-downtime",
    ),
    pytest.param(
        BeginDowntime(origin("q1"), f"cluster:{CLUSTER}", None, None, 60_000),
        EndDowntime(origin("q2"), f"cluster:{CLUSTER}"),
        Blocker.DOWNTIME,
        f"primacy downtime end {CLUSTER}",
        id="cluster-in-downtime",
    ),
]


@pytest.mark.parametrize(("forbid", "lift", "blocker", "remedy"), AGREED)
async def test_forbidden_recovery_is_a_blocker_until_what_forbids_it_changes(
    forbid: Command, lift: Command, blocker: Blocker, remedy: str
) -> None:
    journal = MachineJournal(Script())
    token = journal.grant()
    journal.script.apply(forbid)
    node = Node(dead_primary(), machine=journal, token=token)
    async with running(node):
        node.find()
        await eventually(lambda: [each.blocker for each in node.app.blocked("")] == [blocker], within=5)
        tried = journal.script.index
        (blocked,) = node.app.blocked("")
        assert "ops" in blocked.reason
        assert "because" in blocked.reason
        assert remedy in blocked.reason
        await quiet(node)
        assert journal.script.index == tried, "it is not tried again while nothing has changed"
        assert journal.kept == {}
        assert P in node.executor.released, "connections that were opened ahead are closed"
        journal.script.apply(lift)
        node.world.agreements += 1
        node.app.consider()
        assert (await node.closed()).state is RecoveryState.SUCCEEDED


async def test_recovery_that_somebody_asked_for_is_not_forbidden() -> None:
    journal = MachineJournal(Script())
    token = journal.grant()
    journal.script.apply(SetSetting(origin("q1"), "recoveries", "off"))
    node = Node(dead_primary(), machine=journal, token=token)
    async with running(node):
        node.find()
        await eventually(lambda: bool(node.app.blocked("")), within=5)
        await node.app.start(P, REQUEST, None, "ada")
        assert (await node.closed()).started_by == "ada"


@pytest.mark.parametrize(
    ("reason", "facts", "blocker", "words"),
    [
        pytest.param(
            "DOWNTIMED",
            {
                "scope": "instance:[::1]:3306",
                "owner": "ada",
                "reason": "disk",
                "until": "2026-11-21T12:00:00.000+00:00",
            },
            Blocker.DOWNTIME,
            ("[::1]:3306 is in downtime until 2026-11-21T12:00", "ada (disk)", "primacy downtime end [::1]:3306"),
            id="downtime",
        ),
        pytest.param("RECOVERIES_DISABLED", {"owner": "ada"}, Blocker.RECOVERIES_DISABLED, ("by ada;",), id="switch"),
        pytest.param("POLICY_CHANGED", {"newest": "41"}, Blocker.POLICY, ("log index 41",), id="policies"),
        pytest.param("DOWNTIMED", {}, Blocker.DOWNTIME, ("somebody",), id="facts-are-missing"),
    ],
)
def test_sentence_says_who_until_when_and_how_to_lift_it(
    reason: str, facts: dict[str, str], blocker: Blocker, words: tuple[str, ...]
) -> None:
    forbidden = forbidden_by(reason, facts)
    assert forbidden is not None
    assert forbidden.blocker is blocker
    assert [word for word in words if word not in forbidden.reason] == []


def test_other_refusals_forbid_nothing() -> None:
    assert forbidden_by("RECOVERY_OPEN", {}) is None

"""What a campaign judges by finds what is wrong: overlapping leases, lost and doubled writes, broken histories."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.holders import LEASE_KEY
from tests.chaos.load import KEYS
from tests.chaos.nemesis import Fault, Schedule
from tests.chaos.observer import Sighting, overlaps, read_sightings
from tests.chaos.outcome import Outcome, summary
from tests.chaos.verdict import check_history, election_times_ns
from tests.proof.history import UNKNOWN, Operation
from tests.proof.models import Acquire, Granted, Read, Versioned, Write


def seen(member_id: int, asked: int, valid_ns: int = 100, seq: int = 1) -> Sighting:
    return Sighting(member_id, asked, asked + 10, valid_ns, seq)


@pytest.mark.parametrize(
    ("sightings", "surrendered", "count"),
    [
        pytest.param([seen(1, 0), seen(1, 50), seen(2, 200)], False, 0, id="one after the other"),
        pytest.param([seen(1, 0), seen(2, 50)], False, 1, id="the first was valid for longer"),
        pytest.param([seen(1, 0), seen(2, 95)], False, 0, id="may have ended before the second was asked"),
        pytest.param([seen(1, 0, valid_ns=5)], False, 0, id="ended before the answer came"),
        pytest.param([seen(1, 0), seen(2, 50)], True, 0, id="it may have been surrendered"),
        pytest.param([seen(1, 0), seen(2, 50), seen(2, 70), seen(1, 100)], True, 1, id="it was not surrendered"),
        pytest.param(
            [seen(1, 0), seen(2, 50), seen(2, 70), seen(1, 100, seq=2)], True, 0, id="it lapsed and came back"
        ),
        pytest.param([seen(1, 0), seen(1, 20), seen(1, 40)], False, 0, id="one member alone"),
    ],
)
def test_overlap_is_what_was_seen_for_certain(sightings: list[Sighting], surrendered: bool, count: int) -> None:
    assert len(overlaps(sightings, surrendered=surrendered)) == count


def test_sightings_are_read_from_lines(tmp_path: Path) -> None:
    file = tmp_path / "sightings"
    file.write_text("[1,5,9,100,7]\n", encoding="ascii")
    assert read_sightings(file) == [Sighting(1, 5, 9, 100, 7)]


def publish(answer: object, invoked: int, value: str = "a") -> Operation:
    return Operation(1, KEYS[0], Write(value), answer, invoked, invoked + 1)


def test_history_of_keys_and_lease_is_judged_each_by_its_model() -> None:
    lease = Operation(1, LEASE_KEY, Acquire("s"), Granted(3), 1, 2)
    good = [lease, publish(Versioned("a", 1), 1), publish(UNKNOWN, 3, "b"), publish(Versioned("c", 3), 5, "c")]
    assert check_history(good) == []
    doubled = publish(Versioned("c", 4), 5, "c")
    assert any("not linearizable" in problem for problem in check_history([*good[:3], doubled]))
    stale = Operation(2, KEYS[0], Read(), Versioned("a", 1), 9, 10)
    assert any("not linearizable" in problem for problem in check_history([*good, stale]))
    older = Operation(1, LEASE_KEY, Acquire("t"), Granted(2), 3, 4)
    assert any("not linearizable" in problem for problem in check_history([lease, older]))


def test_election_ends_with_the_first_commit_of_a_later_term() -> None:
    trace = [
        {"at": 1, "member": 1, "kind": "role", "role": "leader", "term": 2, "leader": 1},
        {"at": 5, "member": 1, "kind": "commit", "term": 2, "first": 1, "last": 1},
        {"at": 12, "member": 2, "kind": "commit", "term": 2, "first": 1, "last": 1},
        {"at": 300, "member": 2, "kind": "role", "role": "leader", "term": 3, "leader": 2},
        {"at": 310, "member": 2, "kind": "commit", "term": 3, "first": 2, "last": 2},
    ]
    assert election_times_ns([trace], [(10, 1)]) == [300]
    assert election_times_ns([trace], [(400, 2)]) == []


def test_summary_adds_campaigns_up_in_one_line() -> None:
    schedule = Schedule(kills=3)
    schedule.done[Fault.KILL_LEADER] = 3
    one = Outcome(1, 3, schedule, acknowledged=10, elections_ns=[400_000_000], violations=["wrong"])
    line = summary([one, Outcome(2, 5, acknowledged=5)])
    assert "\n" not in line
    for fact in ("campaigns=2", "kills=3", "acknowledged=15", "election_p50_ms=400", "kill_leader=3", "violations=1"):
        assert fact in line.split()

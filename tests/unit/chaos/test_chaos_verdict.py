"""What a campaign judges by finds what is wrong: overlapping leases, lost and doubled writes, broken histories."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import grpc
import pytest

from tests.chaos.group_client import changed_nothing
from tests.chaos.holders import LEASE_KEY
from tests.chaos.load import KEYS
from tests.chaos.nemesis import Fault, Schedule
from tests.chaos.observer import Sighting, overlaps, read_sightings
from tests.chaos.outcome import Outcome, summary
from tests.chaos.plan import Plan
from tests.chaos.verdict import check_history, election_times_ns, told_by_reads
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
    one = Outcome(Plan(1, 3, 60), schedule, acknowledged=10, elections_ns=[400_000_000], violations=["wrong"])
    two = Outcome(Plan(2, 5, 60), acknowledged=5, lost=1, spent_s=Counter(faults=60))
    line = summary([one, two], seconds=125.4)
    assert "\n" not in line
    for fact in (
        "kills=3",
        "acknowledged=15",
        "lost=1",
        "violations=1",
        "campaigns=2",
        "seconds=125",
        "faults_s=60",
        "election_p50_ms=400",
        "kill_leader=3",
    ):
        assert fact in line.split()


def test_report_says_how_to_draw_the_same_faults_again() -> None:
    outcome = Outcome(Plan(7, 5, 240), violations=["wrong"], kept=Path("/tmp/kept"))
    (text,) = outcome.report
    assert text.startswith("seed=7 members=5: wrong")
    assert "python -m tests.chaos --seed 7 --members 5 --campaign 240 --campaigns 1" in text
    assert "/tmp/kept" in text


OPEN = Operation(1, KEYS[0], Write("db1"), UNKNOWN, 10)


def read(value: str, epoch: int, invoked: int, returned: int) -> Operation:
    return Operation(2, KEYS[0], Read(), Versioned(value, epoch), invoked, returned)


def write(value: str, epoch: int, invoked: int, returned: int) -> Operation:
    return Operation(3, KEYS[0], Write(value), Versioned(value, epoch), invoked, returned)


def test_write_without_an_answer_ends_with_the_first_read_that_shows_it() -> None:
    reads = (read("db1", 1, 40, 50), read("db1", 1, 20, 30))
    told = next(told_by_reads((OPEN, *reads)))
    assert (told.answer, told.returned) == (Versioned("db1", 1), 30)


@pytest.mark.parametrize(
    ("others", "right"),
    [
        ([read("db1", 1, 20, 30)], True),
        ([read("nothing", 0, 20, 30), read("db1", 1, 40, 50)], True),
        ([read("db1", 1, 20, 30), read("nothing", 0, 40, 50)], False),  # It was there before.
        ([read("db1", 2, 20, 30)], False),  # Nobody wrote epoch 1.
        ([read("db1", 1, 2, 5)], False),  # Nobody had asked for it yet.
        ([read("db1", 1, 20, 30), read("db1", 2, 40, 50)], False),  # Written twice.
        ([write("db2", 2, 20, 30), read("db2", 2, 40, 50)], True),  # Nobody read it, and it took effect.
        ([write("db2", 1, 20, 30), read("db1", 2, 40, 50)], True),
        ([write("db2", 1, 20, 30), read("db1", 1, 40, 50)], False),
    ],
)
def test_history_stays_as_right_or_wrong_as_it_was(others: list[Operation], right: bool) -> None:
    assert (check_history((OPEN, *others)) == []) is right


def failed(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)


@pytest.mark.parametrize(
    ("code", "details", "certain"),
    [
        (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses; last error: refused", True),
        (grpc.StatusCode.UNAVAILABLE, "Stream removed (recvmsg:Connection reset by peer (104))", False),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", False),
    ],
)
def test_call_without_a_connection_certainly_did_nothing(code: grpc.StatusCode, details: str, certain: bool) -> None:
    assert changed_nothing(failed(code, details)) is certain

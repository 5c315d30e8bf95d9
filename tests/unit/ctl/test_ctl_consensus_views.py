"""What the answers about the Raft group look like: golden text, made of messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from primacy.consensus.v1 import consensus_pb2 as pb

from services.ctl.text import Line, plain
from services.ctl.views.consensus import (
    BLOCKER_SENTENCES,
    changed_lines,
    group_lines,
    leadership_line,
    leads_line,
    member_lines,
    replacement_lines,
    settings_lines,
)

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


def text(lines: Sequence[Line]) -> str:
    return "\n" + "\n".join(plain(content) for content in lines)


def milliseconds(number: int) -> Duration:
    return Duration(seconds=number // 1000, nanos=number % 1000 * 1_000_000)


def member(number: int, kind: pb.MemberKind.ValueType = pb.MEMBER_KIND_VOTER, **values: object) -> pb.Member:
    facts = {"raft_endpoint": f"h{number}:2", "api_endpoint": f"h{number}:1", "preference": 50, **values}
    return pb.Member(member_id=number, name=f"node{number}", kind=kind, **facts)  # type: ignore[arg-type]


def group() -> pb.GetStatusResponse:
    found = pb.GetStatusResponse(
        member=member(1),
        role=pb.ROLE_LEADER,
        term=7,
        leader=member(1),
        commit_index=120,
        applied_index=120,
        leader_lease_valid_for=milliseconds(271),
        quorum_have=3,
        quorum_need=2,
        quorum_spare=1,
        group_version=1,
    )
    now = milliseconds(0)
    found.peers.add(member=member(1, site="east"), match_index=120, last_contact=now, store_health="ok", ready=True)
    found.peers.add(
        member=member(2, preference=80),
        match_index=118,
        lag=2,
        last_contact=milliseconds(12),
        round_trip=milliseconds(3),
        clock_rate_ppm=-12,
        store_health="slow",
        replication="replicate",
    )
    found.peers.add(member=member(3, pb.MEMBER_KIND_LEARNER), ready=True, replication="snapshot", quarantined=True)
    return found


def test_group_is_a_headline_and_a_line_per_member() -> None:
    assert (
        text(group_lines(group()))
        == """
led by node1 in term 7, lease good for 271 ms; 3 voters in contact, 2 needed; log 120/120  seen by node1, version 1
NAME   ID  KIND     LAG  HEARD      ROUND TRIP  CLOCK    STORE  PREF  NOTES
node1  1   leader   0    0 ms ago   -           -        ok     50    east
node2  2   voter    2    12 ms ago  3 ms        -12 ppm  slow   80    not ready
node3  3   learner  -    never      -           -        -      50    quarantined receives a snapshot"""
    )


def test_group_in_trouble_says_what_to_do() -> None:
    found = group()
    del found.peers[:]
    found.ClearField("leader")
    found.ClearField("leader_lease_valid_for")
    found.draining = True
    found.quorum_have = found.quorum_spare = 1
    found.blockers.extend([pb.BLOCKER_NO_QUORUM, pb.BLOCKER_QUARANTINED])
    found.quarantine = "the log has a gap"
    found.warnings.append("4 voters are too many")
    found.holds.add(recovery_id="r1", step=3, fencing_token=9, bound=milliseconds(20_000))
    lines = text(group_lines(found))
    assert "nobody leads in term 7, no lease, handing over; 1 voters in contact, 2 needed" in lines
    assert "\nhold: step 3 of recovery r1 may run for 20 s  token 9" in lines
    assert "\nNO_QUORUM: no majority of the voters is in contact; bring members back" in lines
    assert "\nquarantined: the log has a gap" in lines
    assert "\nlook at: 4 voters are too many" in lines


def test_every_blocker_has_a_sentence() -> None:
    names = {name.removeprefix("BLOCKER_") for name in pb.Blocker.keys()} - {"UNSPECIFIED"}  # noqa: SIM118
    assert set(BLOCKER_SENTENCES) == names


def test_members_are_a_table() -> None:
    members = [member(1, site="east", incarnation="aa"), member(2, pb.MEMBER_KIND_LEARNER, preference=0)]
    assert (
        text(member_lines(members))
        == """
NAME   ID  KIND     RAFT  API   RECOVERY  SITE  PREF  STORE
node1  1   voter    h1:2  h1:1  -         east  50    aa
node2  2   learner  h2:2  h2:1  -         -     0     -"""
    )


def test_change_that_was_only_tried_says_so() -> None:
    done = text(changed_lines("node1 is in", [member(1)], ["an even number"], dry_run=False))
    tried = text(changed_lines("node1 is in", [member(1)], [], dry_run=True))
    assert done.startswith("\nnode1 is in\n")
    assert done.endswith("\nlook at: an even number")
    assert tried.startswith("\nnothing was changed; it would be: node1 is in\n")


def test_replacement_tells_how_far_it_is() -> None:
    replacement = pb.Replacement(
        replacement_id="r", old_member_id=1, new_member=member(4), state=pb.Replacement.STATE_CATCH_UP
    )
    assert text(replacement_lines(replacement, (), dry_run=False)) == (
        "\nreplacement r: member 1 by node4 (member 4): catch-up"
    )


def test_transfer_tells_who_leads() -> None:
    assert plain(leads_line(member(2), 8, dry_run=False)) == "node2 leads in term 8"
    assert plain(leads_line(member(2), 0, dry_run=True)) == "nothing was changed; it would be led by node2"


def test_settings_tell_since_when() -> None:
    settings = pb.GroupSettings(
        heartbeat=milliseconds(60),
        election_min=milliseconds(300),
        election_max=milliseconds(600),
        clock_drift_ppm=10_000,
    )
    assert (
        text(settings_lines(settings, 12))
        == """
heartbeat        60 ms
election-min     300 ms
election-max     600 ms
clock-drift-ppm  10000
set at log index 12"""
    )
    assert text(settings_lines(settings, 0)).endswith("each member's own, from the start")


def test_watch_is_a_line_per_change() -> None:
    seen = pb.WatchLeaderResponse(leader=member(1), term=7, leads_with_lease=True, configuration_index=9)
    seen.members.extend([member(1), member(2, pb.MEMBER_KIND_LEARNER)])
    assert plain(leadership_line(seen, NOW)) == (
        "12:00:00.000Z node1 leads in term 7, lease valid here; members at 9: node1, node2 (learner)"
    )

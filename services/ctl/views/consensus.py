"""The Raft group: its members, who leads, what stands in the way, its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from primacy.consensus.v1 import consensus_pb2 as pb

from services.ctl.text import Cell, Line, bad, columns, dim, good, line, strong, warn
from services.ctl.words import duration_text, enum_code, enum_word

BLOCKER_SENTENCES: Final[Mapping[str, str]] = {
    "NO_QUORUM": "no majority of the voters is in contact; bring members back",
    "STORE_STALLED": "its store does not finish writes in time; look at that disk",
    "STORE_FAILED": "its store failed or is full; look at that disk, then restart the node",
    "NO_LEADER": "nobody leads; without a leader nothing is repaired",
    "QUARANTINED": "its store may have lost something: it neither votes nor acknowledges; replace it by a new member",
    "CLOCK_DRIFT": "a clock runs at another rate than clock_drift allows: no lease until it is set right",
    "NOT_READY": "the recovery service beside it does not answer; look at that service",
    "CATCHING_UP": "it is far behind; wait, or look at its disk and network",
    "VERSION": "the group speaks a version it does not know; upgrade it",
    "REMOVED": "it was taken out of the group; stop it, or add it as a new member",
}


def group_lines(group: pb.GetStatusResponse) -> list[Line]:
    """Return the group in full: a headline, a line per member, then what is open and what is wrong."""
    rows = [_TITLES, *(_peer_cells(group, peer) for peer in group.peers)]
    return [
        _headline(group),
        *columns(rows),
        *(_replacement_line(each) for each in group.replacements),
        *(_hold_line(hold) for hold in group.holds),
        *_trouble(group),
    ]


def _headline(group: pb.GetStatusResponse) -> Line:
    leader: Cell = line("led by ", strong(group.leader.name)) if group.HasField("leader") else bad("nobody leads")
    lease: Line = ()
    if group.HasField("leader_lease_valid_for"):
        lease = line(", ", good(f"lease good for {duration_text(group.leader_lease_valid_for)}"))
    elif group.role == pb.ROLE_LEADER:
        lease = line(", ", bad("no lease"))
    handing = line(", ", warn("handing over")) if group.draining else ()
    return line(
        leader,
        f" in term {group.term}",
        lease,
        handing,
        "; ",
        _quorum(group),
        f"; log {group.commit_index}/{group.applied_index}",
        dim(f"  seen by {group.member.name}, version {group.group_version}"),
    )


def _quorum(group: pb.GetStatusResponse) -> Cell:
    text = f"{group.quorum_have} voters in contact, {group.quorum_need} needed"
    if group.quorum_have < group.quorum_need:
        return bad(text)
    return text if group.quorum_spare else warn(f"{text}, none to spare")


_TITLES: Final[Sequence[Cell]] = tuple(
    dim(title) for title in ("NAME", "ID", "KIND", "LAG", "HEARD", "ROUND TRIP", "CLOCK", "STORE", "PREF", "NOTES")
)


def _peer_cells(group: pb.GetStatusResponse, peer: pb.PeerStatus) -> Sequence[Cell]:
    leads = peer.member.member_id == group.leader.member_id != 0
    store = peer.store_health or "-"
    return (
        strong(peer.member.name),
        str(peer.member.member_id),
        good("leader") if leads else enum_word(pb.MemberKind, peer.member.kind, "MEMBER_KIND_"),
        str(peer.lag) if peer.match_index else "-",
        f"{duration_text(peer.last_contact)} ago" if peer.HasField("last_contact") else warn("never"),
        duration_text(peer.round_trip) if peer.HasField("round_trip") else "-",
        f"{peer.clock_rate_ppm:+d} ppm" if peer.HasField("clock_rate_ppm") else "-",
        store if store in ("ok", "-") else warn(store),
        str(peer.member.preference),
        line(*_notes(group, peer)),
    )


def _notes(group: pb.GetStatusResponse, peer: pb.PeerStatus) -> list[Cell]:
    notes: list[Cell] = [dim(f"{peer.member.site} ")] if peer.member.site else []
    if peer.quarantined:
        notes.append(bad("quarantined "))
    if peer.replication == "snapshot":
        notes.append(warn("receives a snapshot "))
    if group.role == pb.ROLE_LEADER and not peer.ready:
        notes.append(warn("not ready "))
    return notes


def _trouble(group: pb.GetStatusResponse) -> list[Line]:
    blockers = [enum_code(pb.Blocker, blocker, "BLOCKER_") for blocker in group.blockers]
    return [
        *(line(bad(code), ": ", BLOCKER_SENTENCES.get(code, "")) for code in blockers),
        *([line(bad("quarantined"), f": {group.quarantine}")] if group.quarantine else []),
        *(line(warn("look at"), f": {warning}") for warning in group.warnings),
    ]


def _hold_line(hold: pb.Hold) -> Line:
    return line(
        f"hold: step {hold.step} of recovery {hold.recovery_id} may run for {duration_text(hold.bound)}",
        dim(f"  token {hold.fencing_token}"),
    )


def member_lines(members: Sequence[pb.Member]) -> list[Line]:
    """Return one line per member, aligned, under titles."""
    titles = tuple(dim(title) for title in ("NAME", "ID", "KIND", "RAFT", "API", "RECOVERY", "SITE", "PREF", "STORE"))
    return columns([titles, *(_member_cells(member) for member in members)])


def _member_cells(member: pb.Member) -> Sequence[Cell]:
    return (
        strong(member.name),
        str(member.member_id),
        enum_word(pb.MemberKind, member.kind, "MEMBER_KIND_"),
        member.raft_endpoint,
        member.api_endpoint,
        member.recovery_endpoint or "-",
        member.site or "-",
        str(member.preference),
        member.incarnation or "-",
    )


def changed_lines(said: str, members: Sequence[pb.Member], warnings: Sequence[str], dry_run: bool) -> list[Line]:
    """Return what a change did, or would do, the members it leaves, and what to look at."""
    head = line(warn("nothing was changed; it would be: "), said) if dry_run else line(good(said))
    return [head, *member_lines(members), *(line(warn("look at"), f": {warning}") for warning in warnings)]


def replacement_lines(replacement: pb.Replacement, warnings: Sequence[str], dry_run: bool) -> list[Line]:
    """Return how far a replacement is."""
    head = [line(warn("nothing was changed; it would be:"))] if dry_run else []
    return [*head, _replacement_line(replacement), *(line(warn("look at"), f": {text}") for text in warnings)]


def _replacement_line(replacement: pb.Replacement) -> Line:
    state = enum_word(pb.Replacement.State, replacement.state, "STATE_")
    return line(
        f"replacement {replacement.replacement_id}: member {replacement.old_member_id} by ",
        strong(replacement.new_member.name),
        f" (member {replacement.new_member.member_id}): ",
        good(state) if replacement.state == pb.Replacement.STATE_DONE else warn(state),
    )


def leads_line(leader: pb.Member, term: int, dry_run: bool) -> Line:
    """Return who leads after a transfer, or would."""
    if dry_run:
        return line("nothing was changed; it would be led by ", strong(leader.name))
    return line(strong(leader.name), good(" leads"), f" in term {term}")


def settings_lines(settings: pb.GroupSettings, log_index: int) -> list[Line]:
    """Return the settings all members share, and since when."""
    since = f"set at log index {log_index}" if log_index else "each member's own, from the start"
    return [
        *columns(
            [
                ("heartbeat", duration_text(settings.heartbeat)),
                ("election-min", duration_text(settings.election_min)),
                ("election-max", duration_text(settings.election_max)),
                ("clock-drift-ppm", str(settings.clock_drift_ppm)),
            ]
        ),
        line(dim(since)),
    ]


def leadership_line(seen: pb.WatchLeaderResponse, now: datetime) -> Line:
    """Return one message of a watch as a line."""
    leader: Cell = strong(seen.leader.name) if seen.HasField("leader") else bad("nobody")
    names = ", ".join(_short(member) for member in seen.members)
    return line(
        dim(f"{now:%H:%M:%S.%f}"[:-3] + "Z "),
        leader,
        f" leads in term {seen.term}",
        good(", lease valid here") if seen.leads_with_lease else "",
        warn(", handing over") if seen.draining else "",
        f"; members at {seen.configuration_index}: {names}",
    )


def _short(member: pb.Member) -> str:
    return f"{member.name} (learner)" if member.kind == pb.MEMBER_KIND_LEARNER else member.name

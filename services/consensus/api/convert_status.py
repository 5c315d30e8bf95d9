"""One member's view of the group as the message of `GetStatus`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from google.protobuf import duration_pb2
from primacy.consensus.v1 import consensus_pb2 as pb

from services.consensus.api import convert, convert_group
from services.consensus.app import ConsensusApp
from services.consensus.raft import status
from services.consensus.raft.configuration import Configuration, GroupMember
from services.consensus.raft.model import MILLISECOND, Role
from services.consensus.raft.outputs import CoreStatus, PeerProgress
from services.consensus.raft.status import Circumstances
from services.consensus.state.recovery_record import Hold

_ROLES: Final = {
    Role.FOLLOWER: pb.ROLE_FOLLOWER,
    Role.PRE_CANDIDATE: pb.ROLE_PRE_CANDIDATE,
    Role.CANDIDATE: pb.ROLE_CANDIDATE,
    Role.LEADER: pb.ROLE_LEADER,
}


def status_to_proto(app: ConsensusApp, listed: Configuration) -> pb.GetStatusResponse:
    """Return one member's view of the group; `listed` is who the settings say is in it, nobody for one that joined."""
    core, machine, now = app.loop.status(), app.loop.machine, app.loop.read_clock()
    valid_ns = max(0, app.loop.lease.valid_until - now) if app.loop.leads_with_lease() else 0
    seen = Circumstances(core, app.loop.watch.health, machine.group.version, app.max_group_version)
    return pb.GetStatusResponse(
        member=convert_group.member_to_proto(app.member()),
        role=_ROLES[core.role],
        term=core.term,
        leader=convert_group.member_to_proto(app.leader()),
        peers=list(_peers(core, now)),
        commit_index=core.commit_index,
        applied_index=machine.mark.applied_index,
        last_index=core.last_index,
        leader_lease_valid_for=convert.nanoseconds_to_proto(valid_ns) if valid_ns else None,
        lease_seq=app.loop.lease.seq,
        quorum_have=core.quorum_have,
        quorum_need=core.quorum_need,
        blockers=convert_group.blockers_to_proto(status.blockers(seen)),
        leases=[convert.lease_to_proto(lease) for lease in machine.leases.live()],
        state_digest=machine.mark.digest.hex(),
        members=convert_group.members_to_proto(core.configuration),
        configuration_index=core.configuration_index,
        first_index=core.mark.index,
        quorum_spare=status.spare(core),
        quarantine=core.quarantine,
        draining=core.draining,
        group_version=machine.group.version,
        max_group_version=app.max_group_version,
        replacements=[
            convert_group.replacement_to_proto(each) for each in machine.replacements.all() if each.state.is_open
        ],
        holds=[_hold(hold) for hold in machine.journal.holds()],
        warnings=status.warnings(core, app.timing().election_min, listed),
        store_health=app.loop.watch.health.value,
    )


def _hold(hold: Hold) -> pb.Hold:
    return pb.Hold(
        recovery_id=hold.recovery_id,
        step=hold.step,
        fencing_token=hold.fencing_token,
        bound=convert.nanoseconds_to_proto(hold.bound_ms * MILLISECOND),
        instance=hold.instance,
        propose_time=convert.milliseconds_to_time(hold.propose_ms),
        log_index=hold.log_index,
    )


def _peers(core: CoreStatus, now: int) -> Iterator[pb.PeerStatus]:
    progress = {peer.member_id: peer for peer in core.peers}
    for member in core.configuration.members:
        peer = progress.get(member.member_id)
        if peer is not None:
            yield _peer(core, member, peer, now)
        elif member.member_id == core.member_id:
            yield _itself(core, member)
        else:
            heard_at = core.leader_contact_at if member.member_id == core.leader else None
            yield pb.PeerStatus(member=convert_group.member_to_proto(member), last_contact=_since(heard_at, now))


def _peer(core: CoreStatus, member: GroupMember, peer: PeerProgress, now: int) -> pb.PeerStatus:
    return pb.PeerStatus(
        member=convert_group.member_to_proto(member),
        match_index=peer.match_index,
        last_contact=_since(peer.heard_at, now),
        lag=status.lag(core, peer),
        round_trip=None if peer.rtt_ns is None else convert.nanoseconds_to_proto(peer.rtt_ns),
        clock_rate_ppm=peer.clock_rate_ppm,
        store_health=peer.store_health.value if peer.heard_at is not None else "",
        ready=peer.ready,
        quarantined=peer.quarantined,
        replication=peer.state.value,
    )


def _itself(core: CoreStatus, member: GroupMember) -> pb.PeerStatus:
    return pb.PeerStatus(
        member=convert_group.member_to_proto(member),
        match_index=core.durable_index if core.role is Role.LEADER else 0,
        last_contact=convert.nanoseconds_to_proto(0),
        store_health=core.store_health.value,
        ready=core.ready,
        quarantined=bool(core.quarantine),
    )


def _since(heard_at: int | None, now: int) -> duration_pb2.Duration | None:
    return None if heard_at is None else convert.nanoseconds_to_proto(max(0, now - heard_at))

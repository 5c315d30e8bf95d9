"""Messages between members: values of the core <-> frames on the wire, both directions, pure."""

from __future__ import annotations

from typing import Final

from primacy.consensus.v1 import consensus_pb2 as pb

from services.consensus.raft.messages import (
    AppendAck,
    AppendReject,
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    Removed,
    TimeoutNow,
    VoteRefusal,
    VoteRequest,
    VoteResponse,
)
from services.consensus.raft.model import Entry, EntryKind, StoreHealth

StreamMessage = Heartbeat | HeartbeatAck | AppendRequest | AppendAck | AppendReject | Removed
"""What travels on a stream; votes and `TimeoutNow` are unary."""

_KINDS: Final = {
    EntryKind.NOOP: pb.LogEntry.KIND_NOOP,
    EntryKind.COMMAND: pb.LogEntry.KIND_COMMAND,
    EntryKind.CONFIG: pb.LogEntry.KIND_CONFIG,
}
_KINDS_IN: Final = {value: kind for kind, value in _KINDS.items()}
_HEALTH: Final = {
    StoreHealth.OK: pb.HeartbeatAck.STORE_HEALTH_OK,
    StoreHealth.SLOW: pb.HeartbeatAck.STORE_HEALTH_SLOW,
    StoreHealth.STALLED: pb.HeartbeatAck.STORE_HEALTH_STALLED,
    StoreHealth.FULL: pb.HeartbeatAck.STORE_HEALTH_FULL,
    StoreHealth.FAILED: pb.HeartbeatAck.STORE_HEALTH_FAILED,
}
_HEALTH_IN: Final = {value: health for health, value in _HEALTH.items()}
_REFUSALS: Final = {
    VoteRefusal.NONE: pb.VoteResponse.REFUSAL_UNSPECIFIED,
    VoteRefusal.LEADER_ALIVE: pb.VoteResponse.REFUSAL_LEADER_ALIVE,
    VoteRefusal.STALE_TERM: pb.VoteResponse.REFUSAL_STALE_TERM,
    VoteRefusal.STALE_LOG: pb.VoteResponse.REFUSAL_STALE_LOG,
    VoteRefusal.ALREADY_VOTED: pb.VoteResponse.REFUSAL_ALREADY_VOTED,
    VoteRefusal.STORE: pb.VoteResponse.REFUSAL_STORE,
    VoteRefusal.QUARANTINED: pb.VoteResponse.REFUSAL_QUARANTINED,
}
_REFUSALS_IN: Final = {value: refusal for refusal, value in _REFUSALS.items()}


class MalformedFrame(Exception):
    """A frame that no member of ours sends: the stream is closed (W5)."""


def frame_of(message: StreamMessage) -> pb.AppendRequest:
    """Return the frame of a message."""
    match message:
        case Heartbeat():
            return pb.AppendRequest(heartbeat=_heartbeat_to_proto(message))
        case HeartbeatAck():
            return pb.AppendRequest(heartbeat_ack=_heartbeat_ack_to_proto(message))
        case AppendRequest():
            return pb.AppendRequest(entries=_entries_to_proto(message))
        case AppendAck():
            return pb.AppendRequest(entries_ack=_ack_to_proto(message))
        case AppendReject():
            return pb.AppendRequest(entries_reject=_reject_to_proto(message))
        case Removed():
            removed = pb.Removed(term=message.term, configuration_index=message.configuration_index)
            return pb.AppendRequest(removed=removed)


def message_of(frame: pb.AppendRequest, sender: int) -> Message:
    """Return the message in a frame.

    Raises:
        MalformedFrame: It holds none, or an unknown kind of entry.
    """
    match frame.WhichOneof("frame"):
        case "heartbeat":
            return _heartbeat_from_proto(frame.heartbeat, sender)
        case "heartbeat_ack":
            return _heartbeat_ack_from_proto(frame.heartbeat_ack, sender)
        case "entries":
            return _append_from_proto(frame.entries, sender)
        case "entries_ack":
            ack = frame.entries_ack
            return AppendAck(sender, ack.term, ack.match_index, ack.sent_at_ns, ack.promise_ns)
        case "entries_reject":
            return _reject_from_proto(frame.entries_reject, sender)
        case "removed":
            return Removed(sender, frame.removed.term, frame.removed.configuration_index)
        case other:
            raise MalformedFrame(f"a frame with {other} is not expected here")


# Control lane.


def _heartbeat_to_proto(message: Heartbeat) -> pb.Heartbeat:
    return pb.Heartbeat(
        term=message.term,
        commit_index=message.commit,
        sent_at_ns=message.sent_at,
        promise_ns=message.promise_ns,
        round=message.round,
        digest_index=message.digest_index,
        digest=message.digest,
    )


def _heartbeat_from_proto(beat: pb.Heartbeat, sender: int) -> Heartbeat:
    return Heartbeat(
        sender,
        beat.term,
        beat.commit_index,
        beat.sent_at_ns,
        beat.promise_ns,
        beat.round,
        beat.digest_index,
        beat.digest,
    )


def _heartbeat_ack_to_proto(message: HeartbeatAck) -> pb.HeartbeatAck:
    return pb.HeartbeatAck(
        term=message.term,
        sent_at_ns=message.sent_at,
        promise_ns=message.promise_ns,
        round=message.round,
        applied_index=message.applied_index,
        store_health=_HEALTH[message.store_health],
        clock_ns=message.clock,
        digest_index=message.digest_index,
        digest=message.digest,
        not_ready=not message.ready,
        quarantined=message.quarantined,
    )


def _heartbeat_ack_from_proto(answer: pb.HeartbeatAck, sender: int) -> HeartbeatAck:
    return HeartbeatAck(
        sender,
        answer.term,
        answer.sent_at_ns,
        answer.promise_ns,
        answer.round,
        answer.applied_index,
        _HEALTH_IN.get(answer.store_health, StoreHealth.FAILED),
        answer.clock_ns,
        answer.digest_index,
        answer.digest,
        not answer.not_ready,
        answer.quarantined,
    )


def _ack_to_proto(message: AppendAck) -> pb.EntriesAck:
    return pb.EntriesAck(
        term=message.term,
        match_index=message.match_index,
        sent_at_ns=message.sent_at,
        promise_ns=message.promise_ns,
    )


def _reject_to_proto(message: AppendReject) -> pb.EntriesReject:
    return pb.EntriesReject(
        term=message.term,
        prev_index=message.prev_index,
        hint_index=message.hint_index,
        hint_term=message.hint_term,
        sent_at_ns=message.sent_at,
        promise_ns=message.promise_ns,
        installing=message.installing,
    )


def _reject_from_proto(no: pb.EntriesReject, sender: int) -> AppendReject:
    return AppendReject(
        sender,
        no.term,
        no.prev_index,
        no.hint_index,
        no.hint_term,
        no.sent_at_ns,
        no.promise_ns,
        no.installing,
    )


# Data lane.


def _entries_to_proto(message: AppendRequest) -> pb.Entries:
    return pb.Entries(
        term=message.term,
        prev_index=message.prev_index,
        prev_term=message.prev_term,
        entries=[
            pb.LogEntry(term=entry.term, kind=_KINDS[entry.kind], stamp_ms=entry.stamp_ms, data=entry.data)
            for entry in message.entries
        ],
        commit_index=message.commit,
        sent_at_ns=message.sent_at,
        promise_ns=message.promise_ns,
    )


def _append_from_proto(message: pb.Entries, sender: int) -> AppendRequest:
    entries = tuple(
        _entry_from_proto(entry, index) for index, entry in enumerate(message.entries, message.prev_index + 1)
    )
    return AppendRequest(
        sender,
        message.term,
        message.prev_index,
        message.prev_term,
        entries,
        message.commit_index,
        message.sent_at_ns,
        message.promise_ns,
    )


def _entry_from_proto(entry: pb.LogEntry, index: int) -> Entry:
    kind = _KINDS_IN.get(entry.kind)
    if kind is None:
        raise MalformedFrame(f"entry {index} is of unknown kind {entry.kind}")
    return Entry(index, entry.term, kind, entry.stamp_ms, entry.data)


# Unary calls.


def vote_request_to_proto(message: PreVoteRequest | VoteRequest, hello: pb.Hello) -> pb.VoteRequest:
    """Return the request of a candidate."""
    return pb.VoteRequest(
        hello=hello,
        pre_vote=isinstance(message, PreVoteRequest),
        term=message.term,
        last_index=message.last_index,
        last_term=message.last_term,
        transfer_term=message.transfer_term if isinstance(message, VoteRequest) else 0,
    )


def vote_request_from_proto(request: pb.VoteRequest) -> PreVoteRequest | VoteRequest:
    """Return the question of a candidate."""
    sender, term = request.hello.member_id, request.term
    if request.pre_vote:
        return PreVoteRequest(sender, term, request.last_index, request.last_term)
    return VoteRequest(sender, term, request.last_index, request.last_term, request.transfer_term)


def vote_response_to_proto(message: PreVoteResponse | VoteResponse) -> pb.VoteResponse:
    """Return the answer to a candidate."""
    return pb.VoteResponse(
        term=message.term,
        request_term=message.request_term,
        refusal=_REFUSALS[message.refusal],
        member_id=message.sender,
    )


def vote_response_from_proto(response: pb.VoteResponse, *, pre_vote: bool) -> PreVoteResponse | VoteResponse:
    """Return the answer to a candidate; a reason that is not known is a refusal."""
    kind = PreVoteResponse if pre_vote else VoteResponse
    refusal = _REFUSALS_IN.get(response.refusal, VoteRefusal.STORE)
    return kind(response.member_id, response.term, response.request_term, refusal)


def timeout_now_to_proto(message: TimeoutNow, hello: pb.Hello) -> pb.TimeoutNowRequest:
    """Return the request of a leader that has surrendered (8.1)."""
    return pb.TimeoutNowRequest(hello=hello, term=message.term)


def timeout_now_from_proto(request: pb.TimeoutNowRequest) -> TimeoutNow:
    """Return what a leader that has surrendered asks for."""
    return TimeoutNow(request.hello.member_id, request.term)

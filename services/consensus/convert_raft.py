"""Messages between members: values of the core <-> frames on the wire, both directions, pure."""

from __future__ import annotations

from typing import Final

from primacy.consensus.v1 import consensus_pb2 as pb

from services.consensus.messages import (
    AppendAck,
    AppendReject,
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    VoteRefusal,
    VoteRequest,
    VoteResponse,
)
from services.consensus.model import Entry, EntryKind, StoreHealth

StreamMessage = Heartbeat | HeartbeatAck | AppendRequest | AppendAck | AppendReject
"""What travels on a stream; votes are unary."""

_KINDS: Final = {EntryKind.NOOP: pb.LogEntry.KIND_NOOP, EntryKind.COMMAND: pb.LogEntry.KIND_COMMAND}
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
}
_REFUSALS_IN: Final = {value: refusal for refusal, value in _REFUSALS.items()}


class MalformedFrame(Exception):
    """A frame that no member of ours sends: the stream is closed (W5)."""


def frame_of(message: StreamMessage) -> pb.AppendRequest:
    """Return the frame of a message."""
    match message:
        case Heartbeat():
            return pb.AppendRequest(
                heartbeat=pb.Heartbeat(
                    term=message.term,
                    commit_index=message.commit,
                    sent_at_ns=message.sent_at,
                    promise_ns=message.promise_ns,
                    round=message.round,
                )
            )
        case HeartbeatAck():
            return pb.AppendRequest(
                heartbeat_ack=pb.HeartbeatAck(
                    term=message.term,
                    sent_at_ns=message.sent_at,
                    promise_ns=message.promise_ns,
                    round=message.round,
                    applied_index=message.applied_index,
                    store_health=_HEALTH[message.store_health],
                )
            )
        case AppendRequest():
            return pb.AppendRequest(entries=_entries_of(message))
        case AppendAck():
            return pb.AppendRequest(
                entries_ack=pb.EntriesAck(
                    term=message.term,
                    match_index=message.match_index,
                    sent_at_ns=message.sent_at,
                    promise_ns=message.promise_ns,
                )
            )
        case AppendReject():
            return pb.AppendRequest(
                entries_reject=pb.EntriesReject(
                    term=message.term,
                    prev_index=message.prev_index,
                    hint_index=message.hint_index,
                    hint_term=message.hint_term,
                    sent_at_ns=message.sent_at,
                    promise_ns=message.promise_ns,
                )
            )


def message_of(frame: pb.AppendRequest, sender: int) -> Message:
    """Return the message in a frame.

    Raises:
        MalformedFrame: It holds none, or an unknown kind of entry.
    """
    match frame.WhichOneof("frame"):
        case "heartbeat":
            beat = frame.heartbeat
            return Heartbeat(sender, beat.term, beat.commit_index, beat.sent_at_ns, beat.promise_ns, beat.round)
        case "heartbeat_ack":
            answer = frame.heartbeat_ack
            return HeartbeatAck(
                sender,
                answer.term,
                answer.sent_at_ns,
                answer.promise_ns,
                answer.round,
                answer.applied_index,
                _HEALTH_IN.get(answer.store_health, StoreHealth.FAILED),
            )
        case "entries":
            return _append_of(frame.entries, sender)
        case "entries_ack":
            ack = frame.entries_ack
            return AppendAck(sender, ack.term, ack.match_index, ack.sent_at_ns, ack.promise_ns)
        case "entries_reject":
            no = frame.entries_reject
            return AppendReject(
                sender, no.term, no.prev_index, no.hint_index, no.hint_term, no.sent_at_ns, no.promise_ns
            )
        case other:
            raise MalformedFrame(f"a frame with {other} is not expected here")


def _entries_of(message: AppendRequest) -> pb.Entries:
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


def _append_of(message: pb.Entries, sender: int) -> AppendRequest:
    entries = tuple(_entry_of(entry, index) for index, entry in enumerate(message.entries, message.prev_index + 1))
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


def _entry_of(entry: pb.LogEntry, index: int) -> Entry:
    kind = _KINDS_IN.get(entry.kind)
    if kind is None:
        raise MalformedFrame(f"entry {index} is of unknown kind {entry.kind}")
    return Entry(index, entry.term, kind, entry.stamp_ms, entry.data)


def vote_request_to_proto(message: PreVoteRequest | VoteRequest, hello: pb.Hello) -> pb.VoteRequest:
    """Return the request of a candidate."""
    return pb.VoteRequest(
        hello=hello,
        pre_vote=isinstance(message, PreVoteRequest),
        term=message.term,
        last_index=message.last_index,
        last_term=message.last_term,
    )


def vote_request_from_proto(request: pb.VoteRequest) -> PreVoteRequest | VoteRequest:
    """Return the question of a candidate."""
    kind = PreVoteRequest if request.pre_vote else VoteRequest
    return kind(request.hello.member_id, request.term, request.last_index, request.last_term)


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

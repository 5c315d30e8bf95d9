"""Messages between members survive the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from primacy.consensus.v1 import consensus_pb2 as pb

from services.consensus.raft.messages import (
    AppendAck,
    AppendReject,
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    PreVoteRequest,
    PreVoteResponse,
    Removed,
    TimeoutNow,
    VoteRefusal,
    VoteRequest,
    VoteResponse,
)
from services.consensus.raft.model import Entry, EntryKind, StoreHealth
from services.consensus.wire.convert_raft import (
    MalformedFrame,
    StreamMessage,
    frame_of,
    message_of,
    timeout_now_from_proto,
    timeout_now_to_proto,
    vote_request_from_proto,
    vote_request_to_proto,
    vote_response_from_proto,
    vote_response_to_proto,
)

SENDER = st.integers(1, 2**63 - 1)
INDEX = st.integers(0, 2**63 - 1)
TIME = st.integers(0, 2**62)
DIGEST = st.binary(max_size=16)


ENTRY = st.tuples(INDEX, st.sampled_from(EntryKind), TIME, st.binary(max_size=9))


@st.composite
def appends(draw: st.DrawFn) -> AppendRequest:
    prev_index = draw(st.integers(0, 2**40))
    columns = draw(st.lists(ENTRY, max_size=3))
    entries = tuple(Entry(index, *entry) for index, entry in enumerate(columns, start=prev_index + 1))
    sender, numbers = draw(SENDER), [draw(INDEX) for _ in range(3)]
    return AppendRequest(sender, numbers[0], prev_index, numbers[1], entries, numbers[2], draw(TIME), draw(TIME))


STREAM = st.one_of(
    st.builds(Heartbeat, SENDER, INDEX, INDEX, TIME, TIME, INDEX, INDEX, DIGEST),
    st.builds(
        HeartbeatAck,
        SENDER,
        INDEX,
        TIME,
        TIME,
        INDEX,
        INDEX,
        st.sampled_from(StoreHealth),
        TIME,
        INDEX,
        DIGEST,
        st.booleans(),
        st.booleans(),
    ),
    appends(),
    st.builds(AppendAck, SENDER, INDEX, INDEX, TIME, TIME),
    st.builds(AppendReject, SENDER, INDEX, INDEX, INDEX, INDEX, TIME, TIME, st.booleans()),
    st.builds(Removed, SENDER, INDEX, INDEX),
)


@given(STREAM)
def test_stream_message_survives(message: StreamMessage) -> None:
    frame = pb.AppendRequest.FromString(frame_of(message).SerializeToString())
    assert message_of(frame, message.sender) == message


@given(
    st.one_of(
        st.builds(PreVoteRequest, SENDER, INDEX, INDEX, INDEX),
        st.builds(VoteRequest, SENDER, INDEX, INDEX, INDEX, INDEX),
    )
)
def test_vote_request_survives(message: PreVoteRequest | VoteRequest) -> None:
    request = vote_request_to_proto(message, pb.Hello(member_id=message.sender))
    assert vote_request_from_proto(pb.VoteRequest.FromString(request.SerializeToString())) == message


@given(
    st.one_of(
        *(
            st.builds(kind, SENDER, INDEX, INDEX, st.sampled_from(VoteRefusal))
            for kind in (PreVoteResponse, VoteResponse)
        )
    )
)
def test_vote_response_survives(message: PreVoteResponse | VoteResponse) -> None:
    response = pb.VoteResponse.FromString(vote_response_to_proto(message).SerializeToString())
    assert vote_response_from_proto(response, pre_vote=isinstance(message, PreVoteResponse)) == message


@given(st.builds(TimeoutNow, SENDER, INDEX))
def test_timeout_now_survives(message: TimeoutNow) -> None:
    request = timeout_now_to_proto(message, pb.Hello(member_id=message.sender))
    assert timeout_now_from_proto(pb.TimeoutNowRequest.FromString(request.SerializeToString())) == message


def test_vote_refused_for_a_reason_unknown_here_is_no_grant() -> None:
    response = pb.VoteResponse(term=1, request_term=1, member_id=2)
    response.refusal = 99  # type: ignore[assignment]  # What a newer version may send.
    assert vote_response_from_proto(response, pre_vote=False).refusal is not VoteRefusal.NONE


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(pb.AppendRequest(), id="empty"),
        pytest.param(pb.AppendRequest(hello=pb.Hello()), id="second-hello"),
        pytest.param(pb.AppendRequest(entries=pb.Entries(entries=[pb.LogEntry(term=1)])), id="entry-of-no-kind"),
    ],
)
def test_malformed_frame_is_refused(frame: pb.AppendRequest) -> None:
    with pytest.raises(MalformedFrame):
        message_of(frame, 1)

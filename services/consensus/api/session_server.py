"""The servicer of sessions: it translates and delegates."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc
from primacy.consensus.v1 import registry_pb2 as pb

from services.consensus.api import convert
from services.consensus.app import ConsensusApp
from services.consensus.state.group_commands import CloseSession, OpenSession, TouchSession
from services.consensus.state.registry.origin import Origin
from services.consensus.state.sessions import Session
from services.shared.runtime.errors import InvalidField
from services.shared.topology.convert.times import duration_to_proto

_MAX_NUMBER: Final = 2**63 - 1


class SessionServicer(pb_grpc.SessionServiceServicer):
    """Sessions of programs."""

    def __init__(self, app: ConsensusApp, time_to_live: timedelta) -> None:
        self._app = app
        self._time_to_live = time_to_live

    async def OpenSession(self, request: pb.OpenSessionRequest, context: Any) -> pb.OpenSessionResponse:
        """Open a session."""
        request_id = convert.uuid_from_request(request.request_id, "request_id")
        origin = Origin(request_id, convert.text_from_request(request.owner, "owner"))
        session = await self._app.ask(Session, OpenSession(origin))
        return pb.OpenSessionResponse(
            session=_session_to_proto(session), time_to_live=duration_to_proto(self._time_to_live)
        )

    async def TouchSession(self, request: pb.TouchSessionRequest, context: Any) -> pb.TouchSessionResponse:
        """Say that a session lives."""
        command = TouchSession(_number(request.session_id, "session_id"), _number(request.acked_below, "acked_below"))
        return pb.TouchSessionResponse(session=_session_to_proto(await self._app.ask(Session, command)))

    async def CloseSession(self, request: pb.CloseSessionRequest, context: Any) -> pb.CloseSessionResponse:
        """Close a session."""
        await self._app.ask(Session, CloseSession(_number(request.session_id, "session_id")))
        return pb.CloseSessionResponse()


def _number(number: int, field: str) -> int:
    if number > _MAX_NUMBER:
        raise InvalidField(field, "is none that was ever given")
    return number


def _session_to_proto(session: Session) -> pb.Session:
    return pb.Session(session_id=session.session_id, owner=session.owner, acked_below=session.acked_below)

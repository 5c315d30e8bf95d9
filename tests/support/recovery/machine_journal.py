"""The journal of the real state machine behind recovery's real client; only the group and its network are left out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import grpc
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.api import convert
from services.consensus.api.journal_server import JournalServicer
from services.consensus.api.server import DOMAIN, ERRORS
from services.consensus.api.write_stream import WriteDesk
from services.consensus.app import ConsensusApp
from services.consensus.state.commands import Command, GrantLease
from services.consensus.state.lease_table import Lease
from services.consensus.wire.forward import MethodTable
from services.recovery.consensus_client import ConsensusClient
from services.recovery.convert import record_from_proto
from services.recovery.model import Record
from services.shared.runtime.errors import DomainError
from services.shared.runtime.status import to_status
from tests.support.machine_script import Script

T = TypeVar("T")


class _App:
    """What the servicer needs of consensus: every command is the next entry."""

    def __init__(self, script: Script, commands: list[Command]) -> None:
        self._script = script
        self._commands = commands

    async def ask(self, kind: type[T], command: Command) -> T:
        result = self._script.apply(command)
        if isinstance(result, DomainError):
            raise result
        assert isinstance(result, kind)
        self._commands.append(command)
        return result


class _Channel:
    """A channel to the servicer; no error of it is lost on the way."""

    def __init__(self, methods: MethodTable) -> None:
        self._methods = methods
        self.refusal: DomainError | None = None

    def unary_unary(self, path: str, **_: object) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, timeout: float) -> Any:
            assert timeout > 0
            try:
                if self.refusal is not None:
                    raise self.refusal
                return await self._methods.carry_out(path, request)
            except DomainError as error:
                raise _told(error) from None

        return call

    def unary_stream(self, path: str, **_: object) -> None:
        """Return nothing: the streams are not looked at."""

    stream_stream = stream_unary = unary_stream


def _told(error: DomainError) -> grpc.aio.AioRpcError:
    status = to_status(error, DOMAIN, ERRORS)
    code = next(each for each in grpc.StatusCode if each.value[0] == status.code)
    details = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), details, status.message)


class MachineJournal(ConsensusClient):
    """A client of a state machine.

    Attributes:
        script: The machine.
        commands: What was accepted, in order.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.commands: list[Command] = []
        app = cast(ConsensusApp, _App(script, self.commands))
        methods = MethodTable()
        pb_grpc.add_JournalServiceServicer_to_server(JournalServicer(app, cast(WriteDesk, None)), methods.as_server)
        self._channel = _Channel(methods)
        super().__init__(cast(grpc.aio.Channel, self._channel))

    @property
    def kept(self) -> dict[str, Record]:
        """What a watch of the records would tell."""
        kept = self.script.machine.journal.all()
        return {each.recovery_id: record_from_proto(convert.recovery_to_proto(each)) for each in kept}

    def grant(self) -> int:
        """Let a new leader grant the lease; return its token."""
        self.script.term += 1
        self.script.apply(None)
        lease = self.script.apply(GrantLease("recovery", 1, f"s{self.script.term}"))
        assert isinstance(lease, Lease)
        return lease.fencing_token

    def refuse(self, refusal: DomainError | None) -> None:
        """Have every call refused from now on; None: no more."""
        self._channel.refusal = refusal

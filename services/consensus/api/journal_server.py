"""The servicer of the journal: it translates and delegates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.api import convert
from services.consensus.api.watches import watch_changes
from services.consensus.api.write_stream import WriteDesk
from services.consensus.app import ConsensusApp
from services.consensus.state.recovery_record import Recovery
from services.consensus.wire.forward import NEVER
from services.shared.runtime.paging import page_of


class JournalServicer(pb_grpc.JournalServiceServicer):
    """Records of recoveries and their steps."""

    def __init__(self, app: ConsensusApp, writes: WriteDesk) -> None:
        self._app = app
        self._writes = writes

    async def RegisterRecovery(self, request: pb.RegisterRecoveryRequest, context: Any) -> pb.RegisterRecoveryResponse:
        """Open a recovery."""
        recovery = await self._app.ask(Recovery, convert.register_from_proto(request))
        return pb.RegisterRecoveryResponse(record=convert.recovery_to_proto(recovery))

    async def AdoptRecovery(self, request: pb.AdoptRecoveryRequest, context: Any) -> pb.AdoptRecoveryResponse:
        """Take over an open recovery."""
        recovery = await self._app.ask(Recovery, convert.adopt_from_proto(request))
        return pb.AdoptRecoveryResponse(record=convert.recovery_to_proto(recovery))

    async def RecordStep(self, request: pb.RecordStepRequest, context: Any) -> pb.RecordStepResponse:
        """Write steps."""
        command = convert.record_steps_from_proto(request)
        log_index = await self._app.ask(int, command)
        return pb.RecordStepResponse(log_index=log_index, step_count=len(command.steps))

    async def CloseRecovery(self, request: pb.CloseRecoveryRequest, context: Any) -> pb.CloseRecoveryResponse:
        """End a recovery."""
        recovery = await self._app.ask(Recovery, convert.close_from_proto(request))
        return pb.CloseRecoveryResponse(record=convert.recovery_to_proto(recovery))

    async def NoteStop(self, request: pb.NoteStopRequest, context: Any) -> pb.NoteStopResponse:
        """Note where an executor stopped."""
        recovery = await self._app.ask(Recovery, convert.note_stop_from_proto(request))
        return pb.NoteStopResponse(record=convert.recovery_to_proto(recovery))

    async def GetRecord(self, request: pb.GetRecordRequest, context: Any) -> pb.GetRecordResponse:
        """Return one record."""
        recovery = self._app.recovery(convert.uuid_from_request(request.recovery_id, "recovery_id"))
        return pb.GetRecordResponse(record=convert.recovery_to_proto(recovery))

    async def ListRecords(self, request: pb.ListRecordsRequest, context: Any) -> pb.ListRecordsResponse:
        """List records, newest first."""
        cluster_id = convert.optional_uuid_from_request(request.cluster_id, "cluster_id")
        found = self._app.recoveries(cluster_id, only_open=request.only_open)
        page, following = page_of(
            found, lambda each: (-each.register_ms, each.recovery_id), request.page_size, request.page_token
        )
        return pb.ListRecordsResponse(
            records=[convert.recovery_to_proto(recovery) for recovery in page], next_page_token=following
        )

    async def WatchRecords(
        self, request: pb.WatchRecordsRequest, context: Any
    ) -> AsyncIterator[pb.WatchRecordsResponse]:
        """Stream records whole."""
        async for revision, changed in watch_changes(self._app.loop, self._changed_since):
            yield pb.WatchRecordsResponse(revision=revision, changed=changed)

    async def Write(
        self, request_iterator: AsyncIterator[pb.WriteRequest], context: Any
    ) -> AsyncIterator[pb.WriteResponse]:
        """Carry out many writes in one stream."""
        forward = NEVER not in tuple(context.invocation_metadata() or ())
        async for response in self._writes.serve(request_iterator, forward=forward):
            yield response

    def _changed_since(self, log_index: int) -> Sequence[pb.RecoveryRecord]:
        recoveries = self._app.loop.machine.journal.all()
        return [convert.recovery_to_proto(recovery) for recovery in recoveries if recovery.log_index > log_index]

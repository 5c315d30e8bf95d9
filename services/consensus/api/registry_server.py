"""The servicer of the registry: it translates and delegates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from primacy.consensus.v1 import consensus_pb2 as pb

from services.consensus.api import convert
from services.consensus.api.registry_items_server import RegistryItemsServicer
from services.consensus.api.watches import watch_changes
from services.consensus.state.directory import Primary
from services.shared.runtime.paging import page_of


class RegistryServicer(RegistryItemsServicer):
    """What the group has agreed upon about clusters: their primaries, and what `RegistryItemsServicer` adds."""

    async def PublishPrimary(self, request: pb.PublishPrimaryRequest, context: Any) -> pb.PublishPrimaryResponse:
        """Write the primary of a cluster."""
        primary = await self._app.ask(Primary, convert.publish_from_proto(request))
        return pb.PublishPrimaryResponse(primary=convert.primary_to_proto(primary))

    async def GetPrimary(self, request: pb.GetPrimaryRequest, context: Any) -> pb.GetPrimaryResponse:
        """Return the primary of one cluster."""
        cluster = convert.text_from_request(request.cluster, "cluster")
        linearizable = request.consistency == pb.CONSISTENCY_LINEARIZABLE
        primary = await self._app.primary(cluster, linearizable=linearizable)
        staleness = convert.nanoseconds_to_proto(self._app.staleness_ns())
        return pb.GetPrimaryResponse(primary=convert.primary_to_proto(primary), staleness=staleness)

    async def ListPrimaries(self, request: pb.ListPrimariesRequest, context: Any) -> pb.ListPrimariesResponse:
        """List the primaries of all clusters."""
        found = self._app.loop.machine.directory.all()
        page, following = page_of(
            found, lambda each: (each.alias, each.cluster_id), request.page_size, request.page_token
        )
        return pb.ListPrimariesResponse(
            primaries=[convert.primary_to_proto(primary) for primary in page], next_page_token=following
        )

    async def WatchPrimaries(
        self, request: pb.WatchPrimariesRequest, context: Any
    ) -> AsyncIterator[pb.WatchPrimariesResponse]:
        """Stream the directory."""
        async for revision, changed in watch_changes(self._app.loop, self._changed_since):
            staleness = convert.nanoseconds_to_proto(self._app.staleness_ns())
            yield pb.WatchPrimariesResponse(revision=revision, changed=changed, staleness=staleness)

    def _changed_since(self, log_index: int) -> Sequence[pb.Primary]:
        primaries = self._app.loop.machine.directory.all()
        return [convert.primary_to_proto(primary) for primary in primaries if primary.log_index > log_index]

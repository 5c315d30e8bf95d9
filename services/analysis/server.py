"""The gRPC servicer: parses, calls the app, renders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

from primacy.analysis.v1 import analysis_pb2 as pb
from primacy.analysis.v1 import analysis_pb2_grpc

from services.analysis import convert
from services.analysis.app import AnalysisApp
from services.shared.runtime.grpc_server import GrpcServer
from services.shared.runtime.status import ErrorTable

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["AnalysisService"].full_name
ERROR_DOMAIN: Final = "analysis.primacy"
ERRORS: Final[ErrorTable] = {}
"""Every error of this service is one that all services share."""


class AnalysisServicer(analysis_pb2_grpc.AnalysisServiceServicer):
    """`primacy.analysis.v1.AnalysisService`."""

    def __init__(self, app: AnalysisApp) -> None:
        self._app = app

    async def ListFindings(self, request: pb.ListFindingsRequest, context: Any) -> pb.ListFindingsResponse:
        """Return one page of findings."""
        page, token = self._app.list_findings(request.cluster, request.page_size, request.page_token)
        return convert.list_to_proto(page, token, self._app.staleness())

    async def WatchFindings(
        self, request: pb.WatchFindingsRequest, context: Any
    ) -> AsyncIterator[pb.WatchFindingsResponse]:
        """Stream findings until the caller goes away."""
        async with aclosing(self._app.watch_findings()) as stream:
            async for changes in stream:
                yield convert.changes_to_proto(changes, self._app.revision, self._app.staleness())

    async def ListChanges(self, request: pb.ListChangesRequest, context: Any) -> pb.ListChangesResponse:
        """Return one page of changes."""
        subject = convert.changes_subject_from_proto(request)
        page, token = self._app.list_changes(subject, request.page_size, request.page_token)
        return pb.ListChangesResponse(changes=[convert.change_to_proto(each) for each in page], next_page_token=token)

    async def ListAdvice(self, request: pb.ListAdviceRequest, context: Any) -> pb.ListAdviceResponse:
        """Return one page of advice."""
        page, token = self._app.list_advice(request.cluster, request.page_size, request.page_token)
        return pb.ListAdviceResponse(advice=[convert.advice_to_proto(each) for each in page], next_page_token=token)

    async def Explain(self, request: pb.ExplainRequest, context: Any) -> pb.ExplainResponse:
        """Explain one instance, or a cluster."""
        explanations = self._app.explain(convert.subject_from_proto(request))
        return pb.ExplainResponse(explanations=[convert.explanation_to_proto(each) for each in explanations])


class ServerHealth:
    """Reports to the health service of a server."""

    def __init__(self, server: GrpcServer) -> None:
        self._server = server

    async def report(self, *, serving: bool) -> None:
        """Set the health of the process and of its service."""
        await self._server.set_all_serving(serving=serving)

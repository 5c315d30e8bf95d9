"""Asking the registry: the leader for changes, anybody for a list, and what a person means by a target."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Annotated, Any, Protocol, TypeVar

import typer
from google.protobuf import duration_pb2
from primacy.consensus.v1 import consensus_pb2, consensus_pb2_grpc
from primacy.consensus.v1 import registry_pb2 as pb

from services.ctl.arguments import names_instance, parse_endpoint
from services.ctl.client import Call, Suite, T
from services.ctl.commands.consensus.asking import RequestIdOption, request_id_of
from services.ctl.nodes import Service
from services.ctl.requester import requester
from services.ctl.session import parse_option_duration

__all__ = [
    "FreshOption",
    "OwnerOption",
    "ReasonOption",
    "RequestIdOption",
    "WhyOption",
    "ask_leader",
    "consistency",
    "list_all",
    "origin",
    "parse_span",
    "resolve_cluster",
    "resolve_target",
    "stub",
]

OwnerOption = Annotated[str, typer.Option(help="Who wants it; default: you, on this machine.")]
ReasonOption = Annotated[str, typer.Option(help="Why, for whoever reads it later.")]
WhyOption = Annotated[str, typer.Option("--reason", help="Why; required, for whoever finds it at night.")]
FreshOption = Annotated[bool, typer.Option("--fresh", help="The newest committed state; needs a quorum.")]

stub = consensus_pb2_grpc.RegistryServiceStub


class Page(Protocol):
    """What all lists answer."""

    @property
    def next_page_token(self) -> str: ...


PageT = TypeVar("PageT", bound=Page)


def origin(owner: str, reason: str, request_id: str) -> dict[str, Any]:
    """Return what all requests that write have in common, as their fields.

    Raises:
        CtlError: The request id is no UUID.
    """
    return {"request_id": request_id_of(request_id), "owner": owner or requester(), "reason": reason}


def consistency(*, fresh: bool) -> pb.ReadConsistency.ValueType:
    """Return how far a list looks."""
    return pb.READ_CONSISTENCY_LINEARIZABLE if fresh else pb.READ_CONSISTENCY_LOCAL


async def ask_leader(suite: Suite, call: Call[T]) -> T:
    """Return the leader's answer to a write; each has a request id, so it may be repeated."""
    return await suite.leader(Service.CONSENSUS, call)


async def list_all(suite: Suite, page: Callable[[str], Call[PageT]], *, fresh: bool) -> list[PageT]:
    """Return all pages of a list.

    Args:
        suite: Whom to ask.
        page: Returns the call for a page token.
        fresh: Ask the leader, who knows what is committed.
    """

    async def ask(token: str) -> PageT:
        call = page(token)
        return await (suite.leader(Service.CONSENSUS, call) if fresh else suite.first(Service.CONSENSUS, call))

    pages = [await ask("")]
    while pages[-1].next_page_token:
        pages.append(await ask(pages[-1].next_page_token))
    return pages


def parse_span(text: str) -> duration_pb2.Duration | None:
    """Parse a duration such as `2h`; empty stays absent.

    Raises:
        CtlError: It has no unit, or is not above zero.
    """
    if not text:
        return None
    span = duration_pb2.Duration()
    span.FromMilliseconds(round(parse_option_duration(text) * 1_000))
    return span


async def resolve_target(suite: Suite, text: str) -> pb.Target:
    """Return what a person means: `host:port` is an instance, all else a cluster.

    Raises:
        CtlError: There is no such cluster, or nobody answers.
    """
    if names_instance(text):
        return pb.Target(instance=parse_endpoint(text))
    return pb.Target(cluster_id=await resolve_cluster(suite, text))


async def resolve_cluster(suite: Suite, text: str) -> str:
    """Return the id of a cluster: a UUID is taken as it is, an alias must be exactly the one it has.

    Raises:
        CtlError: There is no such alias, or nobody answers.
    """
    try:
        return str(uuid.UUID(text))
    except ValueError:
        pass
    named = await suite.first(
        Service.CONSENSUS,
        lambda channel, timeout_s: stub(channel).ListClusterNames(
            pb.ListClusterNamesRequest(alias=text), timeout=timeout_s
        ),
    )
    if named.cluster_names:
        return named.cluster_names[0].cluster_id
    request = consensus_pb2.GetPrimaryRequest(cluster=text)
    found = await suite.first(
        Service.CONSENSUS, lambda channel, timeout_s: stub(channel).GetPrimary(request, timeout=timeout_s)
    )
    return found.primary.cluster_id

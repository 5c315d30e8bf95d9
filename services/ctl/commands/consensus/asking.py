"""Asking the group: the leader for changes, anybody for a view, and members by name or id."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.ctl.calls import CallFailed
from services.ctl.client import Call, Suite, T
from services.ctl.failure import CtlError, Exit
from services.ctl.group import get_status, group_status
from services.ctl.nodes import Service

MemberArgument = Annotated[str, typer.Argument(metavar="MEMBER", help="A member: its name or its id.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only tell what would happen.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Go on although it looks dangerous; the refusal says why.")]
RequestIdOption = Annotated[
    str, typer.Option(metavar="UUID", help="Repeat the id of an earlier try, and nothing is done twice.")
]


def request_id_of(text: str) -> str:
    """Return the id of a request: the given one, or a new one.

    Raises:
        CtlError: It is no UUID.
    """
    if not text:
        return str(uuid.uuid4())
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise CtlError(f"--request-id {text!r} is not a UUID", Exit.USAGE) from None


async def ask_leader(suite: Suite, call: Call[T]) -> T:
    """Return the leader's answer to a call of `GroupService`; calls are idempotent, so they may be repeated."""
    return await suite.leader(Service.CONSENSUS, call)


async def leader_status(suite: Suite) -> pb.GetStatusResponse:
    """Return the leader's view of the group, which knows the most; another member's when the leader is not reached.

    Raises:
        CtlError: No member answers.
    """
    seen = await group_status(suite)
    if seen.role == pb.ROLE_LEADER or not seen.leader.api_endpoint:
        return seen
    try:
        return await suite.at(Service.CONSENSUS, seen.leader.api_endpoint, get_status)
    except CallFailed:
        return seen


async def find_member(suite: Suite, text: str) -> pb.Member:
    """Return the member a person means.

    Raises:
        CtlError: The group has no such member, or nobody answers.
    """
    status = await leader_status(suite)
    found = [member for member in status.members if text in (member.name, str(member.member_id))]
    if not found:
        names = ", ".join(f"{member.name} ({member.member_id})" for member in status.members)
        raise CtlError(f"no member is called {text!r}; the group has {names or 'none'}", Exit.NOT_FOUND)
    return found[0]


stub = pb_grpc.GroupServiceStub

"""Asking the group what it knows: its leader's view, and members by name or id."""

from __future__ import annotations

from primacy.consensus.v1 import consensus_pb2 as pb

from services.ctl.calls import CallFailed
from services.ctl.client import Suite
from services.ctl.failure import CtlError, Exit
from services.ctl.group import GET_STATUS, group_status


async def leader_status(suite: Suite) -> pb.GetStatusResponse:
    """Return the leader's view of the group, which knows the most; another member's when the leader is not reached.

    Raises:
        CtlError: No member answers.
    """
    seen = await group_status(suite)
    if seen.role == pb.ROLE_LEADER or not seen.leader.api_endpoint:
        return seen
    try:
        return await suite.at(seen.leader.api_endpoint, GET_STATUS)
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

"""Values of the Raft core for tests."""

from __future__ import annotations

from services.consensus.raft.configuration import Configuration, GroupMember, configuration_of


def group_of(*voters: int) -> Configuration:
    """Return a configuration of voters that have ids only."""
    return configuration_of(GroupMember(member_id) for member_id in voters)

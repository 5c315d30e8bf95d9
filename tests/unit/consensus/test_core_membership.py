"""Configurations of a log, and which change of the group may be made (section 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consensus.raft.configuration import (
    Configuration,
    GroupMember,
    MemberKind,
    configuration_of,
    decode_configuration,
    encode_configuration,
)
from services.consensus.raft.events import AddLearner, MemberChange, PromoteMember, RemoveMember, UpdateMember
from services.consensus.raft.membership import Configurations, GroupView, changed, judge_change
from services.consensus.raft.model import Entry, EntryKind, InvariantViolated
from services.consensus.raft.outputs import ChangeBlocker
from tests.support.raft import group_of


def _member(member_id: int, kind: MemberKind = MemberKind.VOTER, preference: int = 50) -> GroupMember:
    name = f"m{member_id}"
    return GroupMember(
        member_id, name=name, raft_endpoint=f"{name}:2", api_endpoint=f"{name}:1", kind=kind, preference=preference
    )


GROUP = configuration_of([_member(1), _member(2), _member(3), _member(4, MemberKind.LEARNER)])
VIEW = GroupView(1, GROUP, ready=True, change_open=False, transferring=False, heard={1, 2, 3, 4}, caught_up={2, 3, 4})
LONELY = configuration_of([_member(1), _member(2, preference=0)])
SEVEN = configuration_of([*(_member(voter) for voter in range(1, 8)), _member(8, MemberKind.LEARNER)])


@pytest.mark.parametrize(
    ("view", "change", "blocker"),
    [
        pytest.param(VIEW, AddLearner(_member(5)), None, id="add"),
        pytest.param(VIEW, PromoteMember(4), None, id="promote"),
        pytest.param(VIEW, RemoveMember(2), None, id="remove-voter"),
        pytest.param(VIEW, RemoveMember(4), None, id="remove-learner"),
        pytest.param(VIEW, UpdateMember(replace(_member(1), site="west")), None, id="update-itself"),
        pytest.param(
            replace(VIEW, ready=False), AddLearner(_member(5)), ChangeBlocker.NOT_READY, id="M2-before-the-noop"
        ),
        pytest.param(
            replace(VIEW, change_open=True), UpdateMember(_member(2)), ChangeBlocker.CHANGE_OPEN, id="M2-one-at-a-time"
        ),
        pytest.param(
            replace(VIEW, transferring=True), RemoveMember(2), ChangeBlocker.TRANSFER_RUNNING, id="8.1-transfer-runs"
        ),
        pytest.param(VIEW, AddLearner(_member(4)), ChangeBlocker.ALREADY_MEMBER, id="add-known-id"),
        pytest.param(
            VIEW, AddLearner(replace(_member(5), name="m2")), ChangeBlocker.ALREADY_MEMBER, id="add-known-name"
        ),
        pytest.param(
            VIEW,
            AddLearner(replace(_member(5), raft_endpoint="m2:2")),
            ChangeBlocker.ALREADY_MEMBER,
            id="add-known-endpoint",
        ),
        pytest.param(VIEW, AddLearner(_member(0)), ChangeBlocker.ALREADY_MEMBER, id="add-nobody"),
        pytest.param(
            VIEW,
            UpdateMember(replace(_member(2), api_endpoint="m3:1")),
            ChangeBlocker.ALREADY_MEMBER,
            id="update-to-known-endpoint",
        ),
        pytest.param(VIEW, PromoteMember(2), ChangeBlocker.ALREADY_MEMBER, id="promote-voter"),
        pytest.param(VIEW, PromoteMember(9), ChangeBlocker.UNKNOWN_MEMBER, id="promote-stranger"),
        pytest.param(VIEW, RemoveMember(9), ChangeBlocker.UNKNOWN_MEMBER, id="remove-stranger"),
        pytest.param(VIEW, UpdateMember(_member(9)), ChangeBlocker.UNKNOWN_MEMBER, id="update-stranger"),
        pytest.param(VIEW, RemoveMember(1), ChangeBlocker.LEADER_ITSELF, id="M5-leader-itself"),
        pytest.param(
            replace(VIEW, caught_up={2, 3}), PromoteMember(4), ChangeBlocker.NOT_CAUGHT_UP, id="M3-not-caught-up"
        ),
        pytest.param(
            replace(VIEW, heard={1, 2}), RemoveMember(2), ChangeBlocker.QUORUM_AT_RISK, id="M6-quorum-at-risk"
        ),
        pytest.param(replace(VIEW, heard={1, 2}), RemoveMember(3), None, id="M6-dead-member-may-go"),
        pytest.param(replace(VIEW, heard={1}), RemoveMember(4), None, id="M6-learner-is-no-risk"),
        pytest.param(
            replace(VIEW, member_id=2, configuration=LONELY, heard={1, 2}),
            RemoveMember(1),
            ChangeBlocker.LAST_VOTER,
            id="M6-last-voter-that-may-lead",
        ),
        pytest.param(
            replace(VIEW, configuration=SEVEN, heard=range(1, 9), caught_up={8}),
            PromoteMember(8),
            ChangeBlocker.TOO_MANY_VOTERS,
            id="eighth-voter",
        ),
    ],
)
def test_change_is_refused_with_what_is_in_the_way(
    view: GroupView, change: MemberChange, blocker: ChangeBlocker | None
) -> None:
    assert judge_change(change, view, force=False) is blocker
    may_be_forced = blocker in (ChangeBlocker.NOT_CAUGHT_UP, ChangeBlocker.QUORUM_AT_RISK)
    assert judge_change(change, view, force=True) is (None if may_be_forced else blocker)


def test_added_member_is_a_learner_whatever_was_asked() -> None:
    """M3."""
    after = changed(AddLearner(_member(5, MemberKind.VOTER)), GROUP, 7)
    assert after.voters == (1, 2, 3)
    assert after.ids == (1, 2, 3, 4, 5)
    assert after.previous_index == 7


def test_update_keeps_the_kind() -> None:
    after = changed(UpdateMember(replace(_member(4), kind=MemberKind.VOTER, site="west")), GROUP, 7)
    assert after.voters == (1, 2, 3)
    assert after.members[3].site == "west"


def test_change_moves_one_voter_at_most() -> None:
    """M2: then majorities of neighbours overlap."""
    for change in (AddLearner(_member(5)), PromoteMember(4), RemoveMember(2), UpdateMember(_member(3))):
        after = changed(change, GROUP, 7)
        assert len(set(after.voters) ^ set(GROUP.voters)) <= 1


def test_configuration_survives_its_entry() -> None:
    assert decode_configuration(encode_configuration(GROUP)) == GROUP


def _entries(configurations: Sequence[Configuration | None], first: int = 1) -> list[Entry]:
    return [
        Entry(index, 1, EntryKind.COMMAND, 0, b"")
        if configuration is None
        else Entry(index, 1, EntryKind.CONFIG, 0, encode_configuration(configuration))
        for index, configuration in enumerate(configurations, first)
    ]


_CONFIGURATIONS = st.none() | st.sets(st.integers(1, 5), min_size=1).map(lambda ids: group_of(*ids))
_STEPS = st.lists(
    st.tuples(st.just("append"), st.lists(_CONFIGURATIONS, max_size=3))
    | st.tuples(st.just("truncate"), st.integers(0, 5))
    | st.tuples(st.just("commit"), st.integers(0, 5)),
    max_size=30,
)


@given(_STEPS)
def test_newest_configuration_is_the_last_one_in_the_log(
    steps: list[tuple[str, list[Configuration | None] | int]],
) -> None:
    """M1: appended, truncated and committed in any order, as long as nothing committed is truncated."""
    log: list[Configuration | None] = []
    commit = 0
    held = Configurations(group_of(9), 0, ())
    for what, value in steps:
        if isinstance(value, list):
            held.appended(_entries(value, len(log) + 1))
            log += value
        elif what == "truncate":
            end = min(len(log), commit + value)
            held.truncated(end + 1)
            del log[end:]
        else:
            commit = min(len(log), commit + value)
            held.committed(commit)
        index = max((i for i, configuration in enumerate(log, 1) if configuration is not None), default=0)
        assert held.newest_index == index
        assert held.newest == (log[index - 1] if index else group_of(9))


def test_entries_up_to_the_committed_configuration_do_not_count() -> None:
    """The mark's configuration is the newer one (M1)."""
    entries = _entries([group_of(1), None, group_of(1, 2)])
    held = Configurations(group_of(1, 2, 3), 2, entries)
    assert held.newest == group_of(1, 2)
    held.truncated(3)
    assert (held.newest, held.newest_index) == (group_of(1, 2, 3), 2)


def test_unknown_configuration_halts() -> None:
    """A3."""
    with pytest.raises(InvariantViolated, match="A3"):
        Configurations(group_of(1), 0, [Entry(1, 1, EntryKind.CONFIG, 0, b'{"version":2}')])

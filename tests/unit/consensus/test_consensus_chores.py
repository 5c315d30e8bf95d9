"""What a leader changes in the group by itself (M3, M4), and when it would (18.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.consensus.raft.configuration import Configuration, GroupMember, MemberKind, configuration_of
from services.consensus.raft.events import AddLearner, MemberChange, PromoteMember, RemoveMember, UpdateMember
from services.consensus.state.chores import Chores, leads_out, newest_common_version, wanted_changes
from services.consensus.state.replacements import Replacement, ReplacementState

VOTERS = tuple(GroupMember(number, f"store{number}", f"node{number}") for number in (1, 2, 3))
GROUP = configuration_of(VOTERS)
NEW = GroupMember(4, name="node4", kind=MemberKind.LEARNER)


def replacement(state: ReplacementState, old: int = 1) -> Replacement:
    return Replacement("r", old, NEW, state, log_index=9, begin_index=5)


def wanted(
    configuration: Configuration = GROUP,
    *,
    incarnations: dict[int, str] | None = None,
    open_: Replacement | None = None,
    auto_promote: bool = True,
) -> list[MemberChange]:
    return list(wanted_changes(Chores(configuration, incarnations or {}, open_, auto_promote)))


def test_calm_group_wants_nothing() -> None:
    assert wanted(incarnations={1: "store1", 2: "other"}) == []


def test_store_that_a_member_shows_first_is_recorded() -> None:
    unknown = replace(VOTERS[1], incarnation="")
    group = GROUP.with_member(unknown, 0)
    assert wanted(group) == []
    assert wanted(group, incarnations={2: "new"}) == [UpdateMember(replace(unknown, incarnation="new"))]


def test_learner_votes_by_itself_only_if_it_was_added_for_it() -> None:
    standby = GROUP.with_member(NEW, 0)
    assert wanted(standby) == []
    candidate = GROUP.with_member(replace(NEW, auto_promote=True), 0)
    assert wanted(candidate) == [PromoteMember(4)]
    assert wanted(candidate, auto_promote=False) == []
    assert wanted(candidate.promoted(4, 0)) == []


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(ReplacementState.ADD, [AddLearner(NEW)], id="add"),
        pytest.param(ReplacementState.CATCH_UP, [PromoteMember(4)], id="catch-up"),
        pytest.param(ReplacementState.REMOVE, [RemoveMember(1)], id="remove"),
        pytest.param(ReplacementState.DONE, [], id="done"),
        pytest.param(ReplacementState.CANCELLED, [], id="cancelled"),
    ],
)
def test_replacement_is_carried_on_from_wherever_it_is(state: ReplacementState, expected: list[MemberChange]) -> None:
    assert wanted(open_=replacement(state), auto_promote=False) == expected


def test_leader_that_is_to_be_removed_hands_over_first() -> None:
    assert leads_out(replacement(ReplacementState.REMOVE, old=1), VOTERS[0])
    assert not leads_out(replacement(ReplacementState.REMOVE, old=2), VOTERS[0])
    assert not leads_out(replacement(ReplacementState.CATCH_UP, old=1), VOTERS[0])
    assert not leads_out(None, VOTERS[0])


@pytest.mark.parametrize(
    ("spoken", "newest"),
    [
        pytest.param({1: 2, 2: 3, 3: 2}, 2, id="the-lowest"),
        pytest.param({1: 2, 2: 2}, 0, id="one-never-said"),
        pytest.param({1: 2, 2: 2, 3: 2, 4: 1}, 2, id="learners-do-not-count"),
    ],
)
def test_group_version_is_what_every_voter_speaks(spoken: dict[int, int], newest: int) -> None:
    assert newest_common_version(GROUP.with_member(NEW, 0), spoken) == newest

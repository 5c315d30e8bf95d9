"""What the core makes of the group: who counts, who waits, what heartbeats tell (sections 7, 8, 9)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from services.consensus.raft.configuration import Configuration, GroupMember, MemberKind, configuration_of
from services.consensus.raft.core import RaftCore
from services.consensus.raft.events import (
    Applied,
    LocalReadiness,
    MemberChangeRequested,
    Persisted,
    PromoteMember,
    QuarantineChanged,
    ReadRequested,
    Received,
    StateDigest,
    Tick,
    TimingChanged,
    TransferRequested,
)
from services.consensus.raft.member import Member
from services.consensus.raft.messages import (
    AppendAck,
    AppendReject,
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    PreVoteRequest,
    PreVoteResponse,
    TimeoutNow,
    VoteRefusal,
    VoteRequest,
    VoteResponse,
)
from services.consensus.raft.model import MILLISECOND, BootState, CoreSettings, HardState, Role, StoreHealth
from services.consensus.raft.outputs import ChangeBlocker, Output, ProposalOutcome, TransferOutcome
from services.consensus.raft.replication import Replication
from tests.support.raft import group_of

SETTINGS = CoreSettings(1)
SECOND = 1_000 * MILLISECOND
E = SETTINGS.election_min


class Leader:
    """Member 1 leads term 1; the others answer what the test wants them to."""

    def __init__(self, configuration: Configuration, others: tuple[int, ...] = (2, 3)) -> None:
        self.now = 0
        self.others = others
        self.batch = 0
        self.core = RaftCore(SETTINGS, BootState(configuration=configuration), 1, 0)
        self.after(900 * MILLISECOND)
        for other in others:
            self.hear(PreVoteResponse(other, 1, 1, VoteRefusal.NONE))
        for other in others:
            self.hear(VoteResponse(other, 1, 1, VoteRefusal.NONE))
        self.core.step(Persisted(self.batch, 1, 1), self.now)
        for other in others:
            self.hear(AppendAck(other, 1, 1, self.now, E))
        self.core.step(Applied(1), self.now)
        self.core.take_output()

    def hear(self, message: PreVoteResponse | VoteResponse | AppendAck | AppendReject | HeartbeatAck) -> Output:
        self.core.step(Received(message), self.now)
        return self._output()

    def after(self, elapsed: int) -> Output:
        self.now += elapsed
        self.core.step(Tick(), self.now)
        return self._output()

    def _output(self) -> Output:
        output = self.core.take_output()
        self.batch = max([self.batch, *(batch.number for batch in output.persist)])
        return output

    def answer(self, output: Output, change: Callable[[HeartbeatAck], HeartbeatAck] = lambda ack: ack) -> None:
        """Have the heartbeats of an output answered, changed."""
        for outgoing in output.messages:
            beat = outgoing.message
            if isinstance(beat, Heartbeat) and outgoing.to in self.others:
                ack = HeartbeatAck(outgoing.to, 1, beat.sent_at, beat.promise_ns, beat.round, 1, StoreHealth.OK)
                self.hear(change(ack))


def test_new_leader_has_a_lease() -> None:
    leader = Leader(group_of(1, 2, 3))
    assert leader.core.status().role is Role.LEADER
    assert leader.core.status().lease.valid_at(leader.now)


# 7, L5: clocks.


def _run_with_clock(leader: Leader, seconds: int, ppm: int, who: int) -> None:
    def read_clock(ack: HeartbeatAck) -> HeartbeatAck:
        fast = leader.now * (1_000_000 + ppm) // 1_000_000
        return replace(ack, clock=fast if ack.sender == who else leader.now)

    for _ in range(seconds * 10):
        leader.answer(leader.after(100 * MILLISECOND), read_clock)


@pytest.mark.parametrize(
    ("ppm", "exceeded"),
    [
        pytest.param(9_000, False, id="within"),
        pytest.param(11_000, True, id="fast"),
        pytest.param(-11_000, True, id="slow"),
    ],
)
def test_lease_ends_when_a_voters_clock_runs_too_differently(ppm: int, exceeded: bool) -> None:
    """L5: no lease, no grants, but it leads on and serves reads by rounds."""
    leader = Leader(group_of(1, 2, 3))
    _run_with_clock(leader, 33, ppm, 2)
    status = leader.core.status()
    assert status.role is Role.LEADER
    assert status.clock_drift_exceeded is exceeded
    assert status.lease.valid_at(leader.now) is not exceeded
    assert status.peers[0].clock_rate_ppm == pytest.approx(ppm, abs=50)
    leader.core.step(ReadRequested(1), leader.now)
    assert bool(leader.core.take_output().read_results) is not exceeded


def test_lease_comes_back_under_a_higher_number_when_the_clock_behaves() -> None:
    """L3, L5."""
    leader = Leader(group_of(1, 2, 3))
    before = leader.core.status().lease.seq
    _run_with_clock(leader, 33, 20_000, 2)
    _run_with_clock(leader, 70, 0, 2)
    lease = leader.core.status().lease
    assert lease.valid_at(leader.now)
    assert lease.seq == before + 1


def test_clock_of_a_learner_does_not_matter() -> None:
    """M8, L5."""
    configuration = configuration_of([*group_of(1, 2, 3).members, GroupMember(4, kind=MemberKind.LEARNER)])
    leader = Leader(configuration)
    leader.others = (2, 3, 4)
    _run_with_clock(leader, 33, 50_000, 4)
    assert not leader.core.status().clock_drift_exceeded


# 8: preference, readiness, transfer.


def _deadlines(preferences: dict[int, int], count: int = 50) -> list[int]:
    members = [GroupMember(member_id, preference=preference) for member_id, preference in preferences.items()]
    boot = BootState(HardState(1), configuration=configuration_of(members))
    return [Member(SETTINGS, boot, seed, 0).election_deadline for seed in range(count)]


@pytest.mark.parametrize(
    ("preferences", "delay"),
    [
        pytest.param({1: 50, 2: 50}, 0, id="equal"),
        pytest.param({1: 100, 2: 50}, 0, id="best"),
        pytest.param({1: 50, 2: 100}, E // 4, id="half"),
        pytest.param({1: 0, 2: 100}, E // 2, id="most"),
    ],
)
def test_deadline_waits_for_the_preferred(preferences: dict[int, int], delay: int) -> None:
    """8.2: later by E/2 * (best - own) / 100, the draw being the same."""
    equal = _deadlines({1: 50, 2: 50})
    assert [late - early for late, early in zip(_deadlines(preferences), equal, strict=True)] == [delay] * len(equal)


def test_preference_of_a_learner_delays_nobody() -> None:
    learner = GroupMember(2, preference=100, kind=MemberKind.LEARNER)
    boot = BootState(HardState(1), configuration=configuration_of([GroupMember(1), GroupMember(3), learner]))
    assert (
        Member(SETTINGS, boot, 7, 0).election_deadline
        == Member(SETTINGS, BootState(HardState(1), configuration=group_of(1, 2, 3)), 7, 0).election_deadline
    )


@pytest.mark.parametrize(
    "configuration",
    [
        pytest.param(configuration_of(()), id="nobody-told-it"),
        pytest.param(group_of(2, 3), id="not-in-it"),
        pytest.param(
            configuration_of([GroupMember(1, kind=MemberKind.LEARNER), GroupMember(2), GroupMember(3)]), id="learner"
        ),
    ],
)
def test_who_may_not_lead_never_campaigns(configuration: Configuration) -> None:
    core = RaftCore(SETTINGS, BootState(configuration=configuration), 1, 0)
    for step in range(1, 200):
        core.step(Tick(), step * 50 * MILLISECOND)
        assert core.take_output().messages == ()
    assert core.status().role is Role.FOLLOWER


def test_voter_of_preference_0_campaigns_only_when_nobody_led_for_long() -> None:
    """8.2: a preference never vetoes; 4 * election_max without a leader, then the group takes whom it can get."""
    configuration = configuration_of([GroupMember(1, preference=0), GroupMember(2)])
    core = RaftCore(SETTINGS, BootState(configuration=configuration), 1, 0)
    asked_at = []
    for step in range(1, 400):
        core.step(Tick(), step * 10 * MILLISECOND)
        asked_at += [step * 10 * MILLISECOND for _ in core.take_output().messages]
    assert asked_at[0] >= 4 * SETTINGS.election_max


@pytest.mark.parametrize(
    ("configuration", "obeys"),
    [
        pytest.param(group_of(1, 2, 3), True, id="voter"),
        pytest.param(
            configuration_of([GroupMember(1, preference=0), GroupMember(2)]), True, id="preference-0-if-asked"
        ),
        pytest.param(configuration_of([GroupMember(1, kind=MemberKind.LEARNER), GroupMember(2)]), False, id="learner"),
        pytest.param(group_of(2, 3), False, id="former-member"),
    ],
)
def test_timeout_now_is_obeyed_by_voters(configuration: Configuration, obeys: bool) -> None:
    core = RaftCore(SETTINGS, BootState(HardState(4), configuration=configuration), 1, 0)
    core.step(Received(TimeoutNow(2, 4)), 1)
    asked = [outgoing.message for outgoing in core.take_output().messages]
    assert [message.transfer_term for message in asked if isinstance(message, VoteRequest)] == (
        [4] * (len(configuration.voters) - 1) if obeys else []
    )


def test_quarantined_member_does_not_obey_timeout_now() -> None:
    boot = BootState(HardState(4), configuration=group_of(1, 2, 3), quarantine="restored")
    core = RaftCore(SETTINGS, boot, 1, 0)
    core.step(Received(TimeoutNow(2, 4)), 1)
    assert core.take_output().messages == ()


def test_follower_refuses_a_transfer_and_a_change() -> None:
    core = RaftCore(SETTINGS, BootState(configuration=group_of(1, 2, 3)), 1, 0)
    core.step(TransferRequested(2, E, 7), 1)
    core.step(MemberChangeRequested(PromoteMember(2), 0, 8), 1)
    output = core.take_output()
    assert [(result.waiter, result.outcome) for result in output.transfer_results] == [(7, TransferOutcome.NOT_LEADER)]
    assert [(result.waiter, result.outcome) for result in output.proposal_results] == [(8, ProposalOutcome.NOT_LEADER)]


@pytest.mark.parametrize(
    ("target", "change"),
    [
        pytest.param(1, lambda ack: ack, id="itself"),
        pytest.param(9, lambda ack: ack, id="stranger"),
        pytest.param(4, lambda ack: ack, id="learner"),
        pytest.param(2, lambda ack: replace(ack, store_health=StoreHealth.FULL), id="store-full"),
        pytest.param(2, lambda ack: replace(ack, quarantined=True, promise_ns=0), id="quarantined"),
    ],
)
def test_unfit_target_is_refused(target: int, change: Callable[[HeartbeatAck], HeartbeatAck]) -> None:
    """8.1."""
    leader = Leader(configuration_of([*group_of(1, 2, 3).members, GroupMember(4, kind=MemberKind.LEARNER)]))
    leader.answer(leader.after(60 * MILLISECOND), change)
    leader.core.step(TransferRequested(target, E, 7), leader.now)
    output = leader.core.take_output()
    assert [result.outcome for result in output.transfer_results] == [TransferOutcome.UNFIT_TARGET]
    assert output.draining is None


def test_target_that_falls_out_on_the_way_ends_the_transfer() -> None:
    leader = Leader(group_of(1, 2, 3))
    leader.core.step(TransferRequested(2, SECOND, 7), leader.now)
    assert leader.core.take_output().draining is True
    leader.answer(leader.after(60 * MILLISECOND), lambda ack: replace(ack, store_health=StoreHealth.FAILED))
    output = leader.after(60 * MILLISECOND)
    assert [result.outcome for result in output.transfer_results] == [TransferOutcome.UNFIT_TARGET]
    assert output.draining is False


def test_lost_leadership_ends_a_transfer() -> None:
    leader = Leader(group_of(1, 2, 3))
    leader.core.step(TransferRequested(2, SECOND, 7), leader.now)
    output = leader.hear(AppendReject(2, 5, 1, 0, 0, leader.now, 0))
    assert [result.outcome for result in output.transfer_results] == [TransferOutcome.LOST]


# 9: who counts.


def test_leader_outside_its_configuration_does_not_count_itself() -> None:
    """M8: M5 keeps that from happening; if it does, its disk and its word make no majority."""
    member = Member(SETTINGS, BootState(HardState(1), configuration=group_of(2, 3, 4)), 1, 0)
    replication = Replication(member)
    assert replication.reached([5, 3, 4], 100) == 4


def test_learner_is_no_contact_no_vote_and_no_copy() -> None:
    """M8."""
    configuration = configuration_of([GroupMember(1), GroupMember(2), GroupMember(4, kind=MemberKind.LEARNER)])
    leader = Leader(configuration, (2,))
    leader.others = (4,)
    for _ in range(5):
        leader.answer(leader.after(60 * MILLISECOND))
    status = leader.core.status()
    assert status.role is Role.FOLLOWER
    assert status.quorum_have == 1


def test_higher_term_of_a_stranger_is_ignored() -> None:
    """E13."""
    leader = Leader(group_of(1, 2, 3))
    leader.hear(AppendReject(9, 5, 1, 0, 0, leader.now, 0))
    assert leader.core.status().role is Role.LEADER
    leader.hear(AppendReject(2, 5, 1, 0, 0, leader.now, 0))
    assert leader.core.status().term == 5


def test_higher_term_of_a_learner_is_believed() -> None:
    """E13: a current member, whatever it counts for."""
    leader = Leader(configuration_of([*group_of(1, 2, 3).members, GroupMember(4, kind=MemberKind.LEARNER)]))
    leader.hear(AppendReject(4, 5, 1, 0, 0, leader.now, 0))
    assert leader.core.status().term == 5


def test_judging_a_change_changes_nothing() -> None:
    """18.2, validate_only."""
    leader = Leader(group_of(1, 2, 3))
    assert leader.core.judge_change(PromoteMember(2), force=False) is ChangeBlocker.ALREADY_MEMBER
    assert leader.core.take_output() == Output()


def test_configuration_is_told_at_the_first_output_and_when_it_changes() -> None:
    core = RaftCore(SETTINGS, BootState(configuration=group_of(1, 2, 3)), 1, 0)
    assert core.take_output().configuration == group_of(1, 2, 3)
    core.step(Tick(), 1)
    assert core.take_output().configuration is None


# R7, 14.6: what an answer to a heartbeat tells.


def _answer_to_a_heartbeat(core: RaftCore, now: int) -> HeartbeatAck:
    core.step(Received(Heartbeat(2, 1, 0, 0, E, 1)), now)
    (answer,) = [outgoing.message for outgoing in core.take_output().messages]
    assert isinstance(answer, HeartbeatAck)
    return answer


def test_heartbeat_answer_tells_clock_readiness_and_digest() -> None:
    core = RaftCore(SETTINGS, BootState(configuration=group_of(1, 2, 3)), 1, 0)
    before = _answer_to_a_heartbeat(core, 5)
    assert (before.clock, before.ready, before.digest_index, before.digest) == (5, True, 0, b"")
    core.step(LocalReadiness(False), 6)
    core.step(StateDigest(256, b"d"), 6)
    after = _answer_to_a_heartbeat(core, 7)
    assert (after.clock, after.ready, after.digest_index, after.digest) == (7, False, 256, b"d")


def test_quarantined_member_promises_nothing_and_acknowledges_nothing() -> None:
    """14.6, I20."""
    core = RaftCore(SETTINGS, BootState(configuration=group_of(1, 2, 3), quarantine="restored"), 1, 0)
    answer = _answer_to_a_heartbeat(core, 5)
    assert (answer.promise_ns, answer.quarantined) == (0, True)
    core.step(Received(AppendRequest(2, 1, 0, 0, (), 0, 5, E)), 6)
    core.step(Received(PreVoteRequest(3, 2, 0, 0)), SECOND)
    (refusal,) = [outgoing.message for outgoing in core.take_output().messages]
    assert isinstance(refusal, PreVoteResponse)
    assert refusal.refusal is VoteRefusal.QUARANTINED
    assert core.status().quarantine == "restored"


def test_leader_that_is_quarantined_steps_down() -> None:
    leader = Leader(group_of(1, 2, 3))
    leader.core.step(QuarantineChanged("clone"), leader.now)
    output = leader.core.take_output()
    assert output.quarantine == "clone"
    assert leader.core.status().role is Role.FOLLOWER
    assert not leader.core.status().lease.valid_at(leader.now)


@pytest.mark.parametrize(
    ("sent_after", "hint", "counted"),
    [
        pytest.param(-1, 0, True, id="stale-refusal"),
        pytest.param(1, 1, True, id="has-it-all"),
        pytest.param(1, 0, False, id="lost-it"),
    ],
)
def test_follower_that_lost_acknowledged_entries_is_not_counted(sent_after: int, hint: int, counted: bool) -> None:
    """14.6: only a refusal of something sent after the acknowledgement shows that."""
    leader = Leader(group_of(1, 2, 3))
    leader.answer(leader.after(60 * MILLISECOND))
    acknowledged_at = leader.now - 60 * MILLISECOND
    leader.hear(AppendReject(2, 1, 5, hint, 1 if hint else 0, acknowledged_at + sent_after, E))
    peer = leader.core.status().peers[0]
    assert peer.quarantined is not counted
    assert peer.match_index == 1


def test_refusal_while_installing_loses_nothing() -> None:
    """N4."""
    leader = Leader(group_of(1, 2, 3))
    leader.after(60 * MILLISECOND)
    leader.hear(AppendReject(2, 1, 5, 0, 0, leader.now, E, installing=True))
    assert not leader.core.status().peers[0].quarantined


# 18.5: timers.


def test_longer_promise_is_durable_before_it_is_asked_for() -> None:
    """E9, 18.5: a leader keeps to its own word after a restart as well."""
    leader = Leader(group_of(1, 2, 3))
    leader.core.step(TimingChanged(100 * MILLISECOND, 2 * E, 3 * E, 10_000), leader.now)
    output = leader.after(100 * MILLISECOND)
    (batch,) = output.persist
    assert batch.hard_state is not None
    assert batch.hard_state.promise_max_ns == 2 * E
    beats = [outgoing for outgoing in output.messages if isinstance(outgoing.message, Heartbeat)]
    assert {outgoing.after_batch for outgoing in beats} == {batch.number}


def test_lease_goes_by_the_new_bound_on_clock_rates() -> None:
    """L5, 18.5: an answer is worth P * (1 - drift) / (1 + drift) - margin."""
    leader = Leader(group_of(1, 2, 3))
    leader.core.step(TimingChanged(SETTINGS.heartbeat, E, 2 * E, 100_000), leader.now)
    for _ in range(10):
        leader.answer(leader.after(SETTINGS.heartbeat))
    lease = leader.core.status().lease
    assert lease.valid_until == leader.now + E * 9 // 11 - SETTINGS.lease_margin


def test_timers_that_break_the_rules_change_nothing() -> None:
    leader = Leader(group_of(1, 2, 3))
    leader.core.step(TimingChanged(E, E, 2 * E, 10_000), leader.now)
    beats = [outgoing.message for outgoing in leader.after(SETTINGS.heartbeat).messages]
    assert [beat.promise_ns for beat in beats if isinstance(beat, Heartbeat)] == [E, E]

"""Elections: asking for votes, and answering those who ask (rules E1-E10, E13).

A round has two halves. The pre-vote asks whether an election could be won and changes nothing anywhere, so a member
that was cut off cannot disturb the others when it returns. Only a majority of pre-votes starts the election proper.
A member that its leader asked to take over goes straight to the second half, and shows that leader's term (8.1, E8).
"""

from __future__ import annotations

from services.consensus.raft.member import Member
from services.consensus.raft.messages import (
    PreVoteRequest,
    PreVoteResponse,
    Removed,
    TimeoutNow,
    VoteRefusal,
    VoteRequest,
    VoteResponse,
)
from services.consensus.raft.model import NOBODY, Role


class Elections:
    """One member's part in elections. Methods that can win an election return True when they did."""

    def __init__(self, member: Member) -> None:
        """Work on a member's shared state."""
        self._member = member
        self._granted: set[int] = set()
        self._refused: set[int] = set()

    def tick(self) -> bool:
        """Start a round when the deadline has passed (E1)."""
        member = self._member
        if member.role is Role.LEADER or member.now < member.election_deadline:
            return False
        if member.now < member.promise_until:  # E9, and the word given to a leader that went silent.
            member.election_deadline = member.promise_until + member.random.below(member.settings.election_min // 2)
            return False
        if not member.may_campaign:
            member.become_follower(member.term, NOBODY)
            member.restart_election_timer()
            return False
        return self._ask_pre_votes()

    def timeout_now(self, request: TimeoutNow) -> bool:
        """Campaign at once for a leader that surrendered; only a follower in that very term does (8.1)."""
        member = self._member
        if member.role is not Role.FOLLOWER or request.term != member.term or not member.may_stand:
            return False
        return self._ask_votes(transfer_term=request.term)

    def removed(self, notice: Removed) -> None:
        """Believe a leader that this member was taken out of the group; it campaigns no more (M7).

        A leader of an older term, with an older configuration than the own one, may not know of this member yet.
        """
        member = self._member
        newer = notice.configuration_index > member.configurations.newest_index
        if member.role is not Role.LEADER and (notice.term >= member.term or newer):
            member.told_removed = True
            member.become_follower(member.term, member.leader)

    def promised(self) -> bool:
        """Tell whether this member must not help to replace a leader now (E2)."""
        member = self._member
        contact = member.leader_contact_at
        leads = member.role is Role.LEADER and contact is not None
        return member.now < member.promise_until or (
            leads and contact is not None and member.now - contact < member.settings.election_min
        )

    def forced(self, request: VoteRequest) -> bool:
        """Tell whether the leader whom the promise was given to has asked for this election itself (E8)."""
        surrendered = request.transfer_term
        return surrendered > 0 and request.term == surrendered + 1 and self._member.term <= surrendered

    def log_suffices(self, last_index: int, last_term: int) -> bool:
        """Tell whether a candidate's log is at least as up to date as the own one (E4, thesis 3.6.1)."""
        return self._member.log.is_covered_by(last_index, last_term)

    def pre_vote_requested(self, request: PreVoteRequest) -> None:
        """Answer a pre-vote; no term, vote or timer changes (E3, E5)."""
        member = self._member
        refusal = self._judge_pre_vote(request)
        term = request.term if refusal is VoteRefusal.NONE else member.term
        member.send(request.sender, PreVoteResponse(member.member_id, term, request.term, refusal))

    def vote_requested(self, request: VoteRequest) -> None:
        """Answer a vote request; a grant leaves when the vote is durable (E2, E3, E4, E6)."""
        member = self._member
        held_back = self.promised() and not self.forced(request)
        refusal = VoteRefusal.LEADER_ALIVE if held_back else self._judge_vote(request)
        if refusal is VoteRefusal.NONE:
            member.enter_term(request.term, request.sender)
            member.restart_election_timer()
        member.send(request.sender, VoteResponse(member.member_id, member.term, request.term, refusal))

    def pre_vote_answered(self, response: PreVoteResponse) -> bool:
        """Count a pre-vote; a majority starts the election (E1)."""
        member = self._member
        granted = response.refusal is VoteRefusal.NONE
        if not granted and self.overtaken(response.sender, response.term):
            return False
        if member.role is not Role.PRE_CANDIDATE or response.request_term != member.term + 1:
            return False
        return self._count(response.sender, granted) and self._ask_votes()

    def vote_answered(self, response: VoteResponse) -> bool:
        """Count a vote; a majority makes a leader."""
        member = self._member
        if self.overtaken(response.sender, response.term):
            return False
        if member.role is not Role.CANDIDATE or response.request_term != member.term:
            return False
        return self._count(response.sender, response.refusal is VoteRefusal.NONE)

    def _judge_pre_vote(self, request: PreVoteRequest) -> VoteRefusal:
        member = self._member
        if self.promised():
            return VoteRefusal.LEADER_ALIVE
        if request.term <= member.term:
            return VoteRefusal.STALE_TERM
        if not self.log_suffices(request.last_index, request.last_term):
            return VoteRefusal.STALE_LOG
        return self._own_trouble()

    def _judge_vote(self, request: VoteRequest) -> VoteRefusal:
        member = self._member
        if request.term < member.term:
            return VoteRefusal.STALE_TERM
        if request.term > member.term:
            member.become_follower(request.term, NOBODY)
        voted = member.voted_for not in (NOBODY, request.sender)
        if voted or member.leader != NOBODY or member.role is not Role.FOLLOWER:
            return VoteRefusal.ALREADY_VOTED
        if not self.log_suffices(request.last_index, request.last_term):
            return VoteRefusal.STALE_LOG
        return self._own_trouble()

    def _own_trouble(self) -> VoteRefusal:
        """Tell why this member may vote for nobody (E4, 14.6)."""
        if self._member.quarantine:
            return VoteRefusal.QUARANTINED
        return VoteRefusal.NONE if self._member.store_usable else VoteRefusal.STORE

    def _ask_pre_votes(self) -> bool:
        member = self._member
        member.role, member.leader = Role.PRE_CANDIDATE, NOBODY
        member.restart_election_timer()
        if self._open_round():
            return self._ask_votes()
        for other in member.other_voters:
            member.send(
                other,
                PreVoteRequest(member.member_id, member.term + 1, member.log.last_index, member.log.last_term),
            )
        return False

    def _ask_votes(self, transfer_term: int = 0) -> bool:
        member = self._member
        member.role, member.leader = Role.CANDIDATE, NOBODY
        member.enter_term(member.term + 1, member.member_id)
        member.restart_election_timer()
        if self._open_round():
            return True
        # A leader's word counts in its own lease (L2), and what it told lease holders outlives a crash of this
        # process; so it is held to it after a restart like every other member (E9).
        member.expect_promise(member.settings.election_min)
        last_index, last_term = member.log.last_index, member.log.last_term
        for other in member.other_voters:
            member.send(other, VoteRequest(member.member_id, member.term, last_index, last_term, transfer_term))
        return False

    def _open_round(self) -> bool:
        """Start counting with the own vote; return True when that is a majority already."""
        self._granted, self._refused = {self._member.member_id}, set()
        return len(self._granted) >= self._member.quorum_need

    def _count(self, sender: int, granted: bool) -> bool:
        """Count an answer; return True for a majority, and give a lost round up (E10)."""
        member = self._member
        if sender not in member.configuration.voters:
            return False
        (self._granted if granted else self._refused).add(sender)
        if len(self._granted) >= member.quorum_need:
            return True
        if len(member.configuration.voters) - len(self._refused) < member.quorum_need:
            member.become_follower(member.term, NOBODY)
            member.retry_election_soon()
        return False

    def overtaken(self, sender: int, term: int) -> bool:
        """Give up for a higher term in a member's answer (E13); a follower lets its leader decide."""
        member = self._member
        if term <= member.term or member.role is Role.FOLLOWER or sender not in member.configuration.ids:
            return False
        member.become_follower(term, NOBODY)
        return True

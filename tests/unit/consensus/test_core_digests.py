"""Comparing state digests (A4)."""

from __future__ import annotations

import pytest

from services.consensus.raft.digests import KEPT, DigestPoll, OwnDigests

LEADER, VOTERS = 1, (1, 2, 3, 4, 5)


def _own(*digests: tuple[int, bytes]) -> OwnDigests:
    own = OwnDigests()
    for index, digest in digests:
        own.add(index, digest)
    return own


@pytest.mark.parametrize(
    ("reports", "agreed"),
    [
        pytest.param({}, (0, b""), id="nobody-else"),
        pytest.param({2: (256, b"a")}, (0, b""), id="two-of-five"),
        pytest.param({2: (256, b"a"), 3: (256, b"a")}, (256, b"a"), id="majority-with-the-leader"),
        pytest.param({2: (256, b"b"), 3: (256, b"b"), 4: (256, b"b")}, (256, b"b"), id="majority-against-the-leader"),
        pytest.param({2: (256, b"a"), 3: (512, b"c")}, (0, b""), id="different-indexes"),
        pytest.param({2: (512, b"c"), 3: (512, b"c")}, (512, b"c"), id="newer-index"),
        pytest.param({2: (256, b"a"), 9: (256, b"a")}, (0, b""), id="learner-does-not-count"),
        pytest.param({2: (768, b"d"), 3: (768, b"d")}, (0, b""), id="leader-is-not-there-yet"),
    ],
)
def test_majority_of_voters_agrees(reports: dict[int, tuple[int, bytes]], agreed: tuple[int, bytes]) -> None:
    poll = DigestPoll(LEADER, _own((256, b"a"), (512, b"c")))
    for member_id, (index, digest) in reports.items():
        poll.report(member_id, index, digest)
    poll.settle(VOTERS, 3)
    assert (poll.agreed_index, poll.agreed) == agreed


def test_agreement_never_goes_back() -> None:
    poll = DigestPoll(LEADER, _own((256, b"a"), (512, b"c")))
    for index, digest in ((512, b"c"), (256, b"a")):
        for member_id in (2, 3):
            poll.report(member_id, index, digest)
        poll.settle(VOTERS, 3)
    assert poll.agreed_index == 512


def test_leader_that_does_not_vote_does_not_count() -> None:
    poll = DigestPoll(LEADER, _own((256, b"a")))
    poll.report(2, 256, b"a")
    poll.settle((2, 3, 4), 2)
    assert poll.agreed_index == 0


def test_own_digests_are_remembered_for_a_while() -> None:
    own = _own(*((index * 256, bytes([index])) for index in range(1, KEPT + 2)))
    assert own.at(256) is None
    assert own.at(512) == b"\x02"
    assert own.newest_index == (KEPT + 1) * 256
    assert own.newest == bytes([KEPT + 1])


def test_unknown_index_contradicts_nothing() -> None:
    own = _own((256, b"a"))
    assert own.contradicts(256, b"b")
    assert not own.contradicts(256, b"a")
    assert not own.contradicts(512, b"b")

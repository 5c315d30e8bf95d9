"""What of the log may be compacted (N1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.consensus.raft.core import RaftCore
from services.consensus.raft.model import MILLISECOND, BootState, CoreSettings, LogMark, StoreHealth
from services.consensus.raft.outputs import CoreStatus, PeerProgress, ReplicationState
from services.consensus.raft.retention import Retention, compaction_target

MB = 1 << 20
NOW = 3_600_000 * MILLISECOND
LIMITS = Retention(snapshot_entries=100, snapshot_bytes=MB, trailing_entries=50, max_log=4 * MB)
BLANK = RaftCore(CoreSettings(1), BootState(), seed=1, now=0).status()


def _status(last: int, *, mark: int = 1000, size: int = 1000, peers: tuple[PeerProgress, ...] = ()) -> CoreStatus:
    return replace(BLANK, last_index=last, applied_index=last, mark=LogMark(mark, 1), log_bytes=size, peers=peers)


def _peer(match: int, heard_s: int | None = 0, state: ReplicationState = ReplicationState.REPLICATE) -> PeerProgress:
    heard_at = None if heard_s is None else NOW - heard_s * 1000 * MILLISECOND
    return PeerProgress(2, match, match + 1, state, heard_at, match, StoreHealth.OK)


@pytest.mark.parametrize(
    ("status", "in_transit", "target"),
    [
        pytest.param(_status(1100), (), None, id="short-enough"),
        pytest.param(_status(1101), (), 1051, id="too-many-entries"),
        pytest.param(_status(1010, size=MB + 1), (), 1005, id="too-many-bytes-keeps-half-of-them"),
        pytest.param(_status(1001, size=3 * MB), (), 1001, id="one-huge-entry"),
        pytest.param(_status(1200, peers=(_peer(1060),)), (), 1060, id="not-above-a-follower"),
        pytest.param(_status(1200, peers=(_peer(1049),)), (), None, id="not-for-a-few-entries"),
        pytest.param(_status(1200, size=MB + 1, peers=(_peer(1001),)), (), 1001, id="for-few-entries-with-many-bytes"),
        pytest.param(_status(1200, peers=(_peer(900),)), (), None, id="never-backwards"),
        pytest.param(_status(1200, peers=(_peer(1060), _peer(1055))), (), 1055, id="the-lowest-follower"),
        pytest.param(_status(1200, peers=(_peer(0, heard_s=599),)), (), None, id="a-follower-silent-for-minutes"),
        pytest.param(_status(1200, peers=(_peer(0, heard_s=601),)), (), 1150, id="not-one-silent-for-long"),
        pytest.param(_status(1200, peers=(_peer(0, heard_s=None),)), (), 1150, id="not-one-never-heard"),
        pytest.param(
            _status(1200, peers=(_peer(0, state=ReplicationState.SNAPSHOT),)), (), 1150, id="not-one-that-needs-more"
        ),
        pytest.param(_status(1200, peers=(replace(_peer(0), quarantined=True),)), (), 1150, id="not-a-quarantined-one"),
        pytest.param(_status(1200), (LogMark(1130, 1), LogMark(1140, 1)), 1130, id="not-above-a-snapshot-in-transit"),
        pytest.param(_status(1200, size=5 * MB, peers=(_peer(1001),)), (), 1180, id="above-a-follower-when-huge"),
        pytest.param(
            _status(1200, size=5 * MB, peers=(_peer(1001),)),
            (LogMark(1130, 1),),
            1130,
            id="never-above-a-snapshot-in-transit",
        ),
        pytest.param(replace(_status(1200), applied_index=1100), (), 1050, id="only-what-is-applied"),
    ],
)
def test_target(status: CoreStatus, in_transit: tuple[LogMark, ...], target: int | None) -> None:
    assert compaction_target(status, in_transit, LIMITS, NOW) == target

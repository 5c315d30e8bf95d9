"""One seed of twenty runs on real stores: a power cut at any call leaves what they acknowledged (21.2, S1-S7)."""

from __future__ import annotations

import random
from collections import Counter
from itertools import count, islice

import pytest

from services.consensus.raft.configuration import configuration_of
from services.consensus.raft.model import HardState
from services.consensus.state.machine import Mark
from services.consensus.store_write import StoreWrite
from tests.contract.store.conftest import entries
from tests.contract.store.power_cut import Call
from tests.simulation.model_store import ModelStore
from tests.simulation.operators import member_of
from tests.simulation.recorded_disk import RecordedDisk
from tests.simulation.recorded_store import RecordedStore
from tests.simulation.recording_vfs import can_record
from tests.simulation.weights import Suite
from tests.simulation.world import BOOTSTRAP, has_real_stores, run_seed

pytestmark = pytest.mark.skipif(not can_record(), reason="this Python hides its SQLite: nothing can be recorded")

GROUP = configuration_of(member_of(number) for number in (1, 2, 3))
SEEDS = list(islice((seed for seed in count(40_000) if has_real_stores(seed, Suite.FULL)), 16))
CUTS = 40


class _Deaf(RecordedStore):
    """Stands for a store that forgets to sync its log."""

    def _record(self, call: Call) -> None:
        if not (call.op == "s" and call.path.endswith("-wal")):
            super()._record(call)


class _Broken(Exception):
    pass


def _must(holds: bool, rule: str, facts: str) -> None:
    if not holds:
        raise _Broken(rule, facts)


def _cut_off_often(store_type: type[RecordedStore]) -> Counter[str]:
    """Write, lose the power, start, again and again."""
    rng = random.Random(5)
    mark = Mark(BOOTSTRAP.index, BOOTSTRAP.term, configuration=GROUP, configuration_index=1)
    disk = RecordedDisk(ModelStore(mark, BOOTSTRAP, BOOTSTRAP.term), 1, store_type(1, GROUP, random.Random(5)), _must)
    try:
        for term in range(2, CUTS + 2):
            disk.boot(disk.load())
            last = disk.store.last_index
            disk.waiting = [StoreWrite(1, HardState(term, 1), None, entries(last + 1, last + 2, term=term))]
            assert disk.begin()
            disk.finish()
            disk.waiting = [StoreWrite(2, None, last + 2, entries(last + 2, last + 3, last + 4, term=term))]
            disk.crash(rng)
        disk.load()
    finally:
        disk.close()
    return disk.power_cuts


def test_transaction_that_is_cut_off_is_done_or_not_done() -> None:
    cuts = _cut_off_often(RecordedStore)
    assert set(cuts) == {"write_done", "write_lost"}


def test_missing_sync_is_found() -> None:
    with pytest.raises(_Broken, match="S1-S7"):
        _cut_off_often(_Deaf)


@pytest.mark.parametrize("seed", SEEDS)
def test_group_on_real_stores_keeps_the_invariants(seed: int) -> None:
    run_seed(seed, 1.5, trail=50)


def test_seed_on_real_stores_replays_exactly() -> None:
    seed = SEEDS[0]
    first = run_seed(seed, 2.0)
    assert run_seed(seed, 2.0) == first


def test_one_seed_of_twenty_has_real_stores() -> None:
    drawn = [seed for seed in range(4_000) if has_real_stores(seed, Suite.FULL)]
    assert 150 < len(drawn) < 250
    assert not any(has_real_stores(seed, Suite.BARE) for seed in drawn)

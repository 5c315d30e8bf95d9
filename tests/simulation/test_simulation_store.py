"""The simulator's store does what the contract of a store says, as far as memory can (21.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from services.consensus.ports import StoredState
from tests.contract.store import test_contract_store as contract
from tests.contract.store import test_contract_store_snapshot as snapshots
from tests.contract.store.conftest import BOOTED
from tests.simulation.model_store import ModelStore
from tests.simulation.world import BOOTSTRAP


class ModelDatabase:
    """One database in memory; closing a store leaves it as it is."""

    def __init__(self) -> None:
        """Start blank, as a listed member."""
        self._store = ModelStore(BOOTED, BOOTSTRAP, BOOTSTRAP.term)

    def load(self, **_: Any) -> tuple[ModelStore, StoredState]:
        """Open it and read everything."""
        return self._store, self._store.load()


@pytest.mark.parametrize(
    "holds",
    [
        contract.test_everything_written_is_there_after_a_restart,
        contract.test_promise_is_never_remembered_as_shorter,
        contract.test_truncation_comes_before_the_entries_of_its_batch,
        contract.test_rows_are_replaced_and_deleted_by_their_key,
        contract.test_of_changes_to_one_row_the_last_one_counts,
        contract.test_keys_differ_by_case_and_accent,
        contract.test_refused_write_leaves_nothing_behind,
        contract.test_state_rows_never_go_back,
        contract.test_rows_are_the_state_of_the_machine,
        contract.test_probe_leaves_the_state_alone,
        contract.test_repeating_a_write_that_was_committed_changes_nothing,
        snapshots.test_log_is_kept_until_the_state_rows_are_as_far,
        snapshots.test_mark_never_moves_back,
        snapshots.test_snapshot_is_the_first_thing_of_a_member_that_joined,
        snapshots.test_what_follows_a_snapshot_may_be_in_its_transaction,
        snapshots.test_large_snapshot_is_installed_whole,
    ],
    ids=lambda test: test.__name__.removeprefix("test_"),
)
def test_model_store_keeps_the_contract(holds: Callable[[Any], None]) -> None:
    holds(ModelDatabase())

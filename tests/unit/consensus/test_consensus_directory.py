"""The directory: epochs, former primaries, what is found and what is made."""

from __future__ import annotations

from services.consensus.state.commands import PublishPrimary
from services.consensus.state.directory import MAX_FORMER, Directory, FormerPrimary, Primary


def publish(host: str, recovery_id: str, *, cluster_id: str = "c1", alias: str = "shop") -> PublishPrimary:
    return PublishPrimary("q", 5, cluster_id, alias, host, 3306, f"uuid-{host}", recovery_id)


def test_found_primary_starts_at_epoch_one() -> None:
    changes, primary = Directory().publish(7, 100, publish("db1", ""))
    assert (primary.epoch, primary.publish_ms, primary.former, primary.log_index) == (1, 100, (), 7)
    assert [change.row for change in changes] == [primary.to_row()]


def test_found_primary_leaves_an_existing_entry_alone() -> None:
    directory = Directory()
    _, before = directory.publish(7, 100, publish("db1", "r1"))
    changes, primary = directory.publish(8, 200, publish("db2", ""))
    assert primary == before
    assert changes == ()


def test_recovery_raises_the_epoch_by_one_and_remembers_the_predecessor() -> None:
    directory = Directory()
    directory.publish(7, 100, publish("db1", ""))
    _, primary = directory.publish(8, 200, publish("db2", "r1"))
    assert (primary.epoch, primary.host, primary.recovery_id) == (2, "db2", "r1")
    assert primary.former == (FormerPrimary("db1", 3306, "uuid-db1", 1),)


def test_former_primaries_are_newest_first_and_bounded() -> None:
    directory = Directory()
    for number in range(MAX_FORMER + 3):
        _, primary = directory.publish(number + 1, 100, publish(f"db{number}", f"r{number}"))
    assert [former.epoch for former in primary.former] == list(range(MAX_FORMER + 2, 2, -1))


def test_alias_that_two_clusters_share_names_none() -> None:
    directory = Directory()
    directory.publish(7, 100, publish("db1", "", cluster_id="c1"))
    assert directory.find("shop") == directory.get("c1")
    directory.publish(8, 100, publish("db2", "", cluster_id="c2"))
    assert directory.find("shop") is None
    assert directory.find("c2") == directory.get("c2")


def test_listing_is_by_alias() -> None:
    directory = Directory()
    for number, alias in enumerate(("zoo", "bar", "foo"), start=1):
        directory.publish(number, 100, publish("db1", "", cluster_id=f"c{number}", alias=alias))
    assert [primary.alias for primary in directory.all()] == ["bar", "foo", "zoo"]


def test_rows_give_the_primary_back() -> None:
    directory = Directory()
    directory.publish(7, 100, publish("db1", ""))
    _, primary = directory.publish(8, 200, publish("db2", "r1"))
    assert Primary.from_row(*primary.to_row()) == primary  # type: ignore[arg-type]  # A row is as wide as its table.

"""One table of the registry: items by key, some of which end by machine time (T4)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from services.consensus.state.registry_errors import ItemUnknown, RegistryFull
from services.consensus.state.rows import Change, Row, RowsOf, delete, put
from services.shared.runtime.errors import DomainError

MAX_ITEMS: Final = 100_000
"""Items of one table; a write beyond it is refused."""


class Item(Protocol):
    """A record of the registry: immutable, with a row whose first columns are its key."""

    @property
    def key(self) -> tuple[str, ...]:
        """The first columns of its row."""

    def to_row(self) -> Row:
        """Return the row of its table."""


ItemT = TypeVar("ItemT", bound=Item)
Outcome = tuple[tuple[Change, ...], ItemT | DomainError]
"""What a write changed, and the item it wrote or took away, or why it did not."""


class ItemTable(Generic[ItemT]):
    """Items by key. Items that have ended are gone, or go with one of the next entries."""

    def __init__(
        self, name: str, items: Iterable[ItemT], end_ms: Callable[[ItemT], int | None] = lambda _: None
    ) -> None:
        """Take the items of a store.

        Args:
            name: Of the table, as in `SHAPES`.
            items: In any order.
            end_ms: When an item ends, Unix milliseconds; None = never.
        """
        self.name = name
        self._end_ms = end_ms
        self._items = {item.key: item for item in items}
        self._ends = [(end, key) for key, item in self._items.items() if (end := end_ms(item)) is not None]
        heapq.heapify(self._ends)

    def __len__(self) -> int:
        return len(self._items)

    def get(self, *key: str) -> ItemT | None:
        """Return the item of a key."""
        return self._items.get(key)

    def all(self) -> tuple[ItemT, ...]:
        """Return all items, by key."""
        return tuple(self._items[key] for key in sorted(self._items))

    def rows(self) -> Sequence[Row]:
        """Return all rows, by key."""
        return RowsOf(tuple(self._items.values()), lambda item: item.to_row())

    def write(self, item: ItemT) -> Outcome[ItemT]:
        """Put an item in the place of the one of its key."""
        key = item.key
        if key not in self._items and len(self._items) >= MAX_ITEMS:
            return (), RegistryFull(self.name, MAX_ITEMS)
        self._items[key] = item
        end = self._end_ms(item)
        if end is not None:
            heapq.heappush(self._ends, (end, key))
        return (put(self.name, item.to_row()),), item

    def remove(self, *key: str) -> Outcome[ItemT]:
        """Take an item away; the answer is what it was."""
        item = self._items.pop(key, None)
        if item is None:
            return (), ItemUnknown(self.name.removeprefix("state_"), " ".join(key))
        return (delete(self.name, key),), item

    def next_end_ms(self) -> int | None:
        """Return when the next item ends; None = no item does."""
        while self._ends and not self._is_current(*self._ends[0]):
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def end_due(self, now_ms: int, most: int) -> tuple[Change, ...]:
        """Take away at most so many items that have ended, the earliest first."""
        gone: list[Change] = []
        while len(gone) < most and (end := self.next_end_ms()) is not None and end <= now_ms:
            _, key = heapq.heappop(self._ends)
            del self._items[key]
            gone.append(delete(self.name, key))
        return tuple(gone)

    def _is_current(self, end: int, key: tuple[str, ...]) -> bool:
        item = self._items.get(key)
        return item is not None and self._end_ms(item) == end

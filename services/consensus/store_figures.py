"""What the store's thread measures, for whoever tells it (19)."""

from __future__ import annotations

from collections.abc import Callable


class StoreFigures:
    """Written by the store's thread, read by the loop's: each figure is one value, so no lock is needed.

    Attributes:
        size_bytes: Size of the database, its write-ahead log included, as of the last look; 0 = not known yet.
        checkpointed: Told how long each checkpoint took, seconds; called on the store's thread.
    """

    def __init__(self) -> None:
        """Begin with nobody to tell."""
        self.size_bytes = 0
        self.checkpointed: Callable[[float], None] = lambda _: None

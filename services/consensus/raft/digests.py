"""State digests: whether the members' state machines agree (A4).

The digest chains all changes, so members that agree at an index agree about everything before it. Members report the
digest at the newest multiple of 256 they have applied; what a majority of voters reports at one index is right.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

DIGEST_INTERVAL: Final = 256
"""Digests are compared at multiples of this log index."""
KEPT: Final = 64
"""How many own digests are remembered: a busy peer may report one a while after it was made."""


class OwnDigests:
    """The digests this member made lately, by log index."""

    def __init__(self) -> None:
        """Start without any."""
        self.newest_index = 0
        self._by_index: dict[int, bytes] = {}

    def add(self, index: int, digest: bytes) -> None:
        """Remember a digest; indexes grow, unless a snapshot was installed meanwhile."""
        self.newest_index = index
        self._by_index[index] = digest
        if len(self._by_index) > KEPT:
            del self._by_index[min(self._by_index)]

    @property
    def newest(self) -> bytes:
        """The digest at `newest_index`; empty when there is none."""
        return self._by_index.get(self.newest_index, b"")

    def at(self, index: int) -> bytes | None:
        """Return the digest at an index, None when it is not known here."""
        return self._by_index.get(index)

    def contradicts(self, index: int, digest: bytes) -> bool:
        """Tell whether another digest was made here for that index."""
        own = self._by_index.get(index)
        return own is not None and own != digest


class DigestPoll:
    """What the members report to a leader, and what a majority of voters agrees on."""

    def __init__(self, member_id: int, own: OwnDigests) -> None:
        """Start with nothing agreed, index 0; `own` are the digests of `member_id`, the leader."""
        self.agreed_index = 0
        self.agreed = b""
        self._member_id = member_id
        self._own = own
        self._reports: dict[int, tuple[int, bytes]] = {}

    def report(self, member_id: int, index: int, digest: bytes) -> None:
        """Take the newest digest of a peer; index 0 = it has none yet."""
        if index > self.agreed_index:
            self._reports[member_id] = (index, digest)

    def settle(self, voters: Collection[int], need: int) -> None:
        """Look whether `need` of the voters agree at a newer index than before."""
        for index, digest in sorted({*self._reports.values(), (self._own.newest_index, self._own.newest)}):
            if index > self.agreed_index and self._supporters(voters, index, digest) >= need:
                self.agreed_index, self.agreed = index, digest

    def _supporters(self, voters: Collection[int], index: int, digest: bytes) -> int:
        others = sum(self._reports.get(voter) == (index, digest) for voter in voters if voter != self._member_id)
        return others + (self._member_id in voters and self._own.at(index) == digest)

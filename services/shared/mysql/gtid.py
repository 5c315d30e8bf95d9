"""GTID sets of MySQL and of MariaDB, as immutable values of two types that do not mix.

Unknown forms are refused, never guessed: a set that was misread could prove that nothing was lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Generic, Self, TypeVar

from services.shared.mysql import intervals
from services.shared.mysql.intervals import Interval, Intervals
from services.shared.topology.server import Flavor

MAX_SEQUENCE: Final = {Flavor.MYSQL: 2**63 - 2, Flavor.MARIADB: 2**64 - 1}
"""Largest transaction number of each flavor (MySQL: `GNO_END` excluded)."""

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TAG: Final = re.compile(r"[a-z_][a-z0-9_]{0,31}")
_INTERVAL: Final = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?")
_SPACE: Final = re.compile(r"\s+")
_POSITION: Final = re.compile(r"([0-9]{1,10})-([0-9]{1,10})-([0-9]{1,20})(?:-([0-9]{1,20}))?")


class GtidFormatError(ValueError):
    """A text is not a GTID set of the flavor it should be of."""


class MixedGtidFlavors(TypeError):
    """Sets of MySQL and MariaDB do not compare."""


Key = TypeVar("Key", str, int, tuple[str, str])


class _GtidMap(Generic[Key]):
    """Intervals of transaction numbers by source of numbers; what both flavors have in common."""

    __slots__ = ("_members",)
    _members: Mapping[Key, Intervals]

    def __init__(self, members: Mapping[Key, Intervals]) -> None:
        self._members = {key: members[key] for key in sorted(members) if members[key]}

    def _with(self, members: Mapping[Key, Intervals]) -> Self:
        """Return a set of this type with other members; no new keys."""
        raise NotImplementedError

    def _operand(self, other: object) -> Self:
        if not isinstance(other, type(self)):
            raise MixedGtidFlavors(f"{type(self).__name__} does not compare with {type(other).__name__}")
        return other

    def union(self, other: Self) -> Self:
        """Return the transactions that are in either set."""
        raise NotImplementedError

    def _merged(self, other: Self) -> Mapping[Key, Intervals]:
        theirs = self._operand(other)._members
        merged = {key: intervals.union(self._members.get(key, ()), theirs[key]) for key in theirs}
        return {**self._members, **merged}

    def subtract(self, other: Self) -> Self:
        """Return the transactions of this set that the other one lacks."""
        theirs = self._operand(other)._members
        rest = {key: intervals.subtract(mine, theirs.get(key, ())) for key, mine in self._members.items()}
        return self._with(rest)

    def intersect(self, other: Self) -> Self:
        """Return the transactions that are in both sets."""
        theirs = self._operand(other)._members
        common = {key: intervals.intersect(mine, theirs.get(key, ())) for key, mine in self._members.items()}
        return self._with(common)

    def issubset(self, other: Self) -> bool:
        """Return whether the other set has every transaction of this one."""
        theirs = self._operand(other)._members
        return all(intervals.is_subset(mine, theirs.get(key, ())) for key, mine in self._members.items())

    def contains(self, other: Self) -> bool:
        """Return whether this set has every transaction of the other one."""
        return self._operand(other).issubset(self)

    def count(self) -> int:
        """Return the number of transactions (MariaDB: of sequence numbers, an upper bound)."""
        return sum(intervals.count(members) for members in self._members.values())

    def is_empty(self) -> bool:
        """Return whether there is no transaction in it."""
        return not self._members

    def __bool__(self) -> bool:
        return bool(self._members)

    def __or__(self, other: Self) -> Self:
        return self.union(other)

    def __sub__(self, other: Self) -> Self:
        return self.subtract(other)

    def __and__(self, other: Self) -> Self:
        return self.intersect(other)

    def __le__(self, other: Self) -> bool:
        return self.issubset(other)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self._members == other._members

    def __hash__(self) -> int:
        return hash((type(self).__name__, tuple(self._members.items())))

    def __repr__(self) -> str:
        return f"{type(self).__name__}.parse({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self).parse, (str(self),))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text of a server; see the subclass."""
        raise NotImplementedError


class MysqlGtidSet(_GtidMap[tuple[str, str]]):
    """A set of MySQL GTIDs: per server UUID and tag (empty: untagged) the numbers of the transactions."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse what `@@gtid_executed` and its like show; the empty text is the empty set.

        `uuid:1-5:7,uuid:tag:1-3:other:4`: white space (newlines too) may stand anywhere, letters of any case; a tag
        covers the intervals after it, up to the next tag or UUID (MySQL 8.3 manual, "GTID Format and Storage").
        Overlapping intervals and repeated UUIDs are merged.

        Raises:
            GtidFormatError: Any other form, a number that is 0 or too large, an interval that ends before it starts.
        """
        members: dict[tuple[str, str], list[Interval]] = {}
        for part in _SPACE.sub("", text).lower().split(","):
            if part:
                _read_uuid_set(part, members)
        return cls({key: intervals.canonical(found) for key, found in members.items()})

    def _with(self, members: Mapping[tuple[str, str], Intervals]) -> Self:
        return type(self)(members)

    def union(self, other: Self) -> Self:
        """Return the transactions that are in either set."""
        return type(self)(self._merged(other))

    def uuids(self) -> frozenset[str]:
        """Return the server UUIDs that occur, in lower case."""
        return frozenset(uuid for uuid, _ in self._members)

    def without_uuids(self, uuids: Iterable[str]) -> Self:
        """Return the set without any transaction, tagged or not, of these servers."""
        dropped = {uuid.lower() for uuid in uuids}
        return type(self)({key: found for key, found in self._members.items() if key[0] not in dropped})

    def only_uuids(self, uuids: Iterable[str]) -> Self:
        """Return the transactions, tagged or not, of these servers."""
        kept = {uuid.lower() for uuid in uuids}
        return type(self)({key: found for key, found in self._members.items() if key[0] in kept})

    def __str__(self) -> str:
        """Return the canonical text: sorted, lower case, no white space; every supported server parses it."""
        parts: dict[str, list[str]] = {}
        for (uuid, tag), found in self._members.items():  # Sorted, so a UUID's untagged transactions come first.
            written = parts.setdefault(uuid, [uuid])
            if tag:
                written.append(tag)
            written += [f"{first}-{last}" if first < last else str(first) for first, last in found]
        return ",".join(":".join(written) for written in parts.values())


def _read_uuid_set(part: str, members: dict[tuple[str, str], list[Interval]]) -> None:
    uuid, *items = part.split(":")
    if _UUID.fullmatch(uuid) is None:
        raise GtidFormatError(f"{uuid!r} is not a server UUID")
    tag, open_tag = "", True
    for item in items:
        match = _INTERVAL.fullmatch(item)
        if match is not None:
            members.setdefault((uuid, tag), []).append(_interval(match[1], match[2], Flavor.MYSQL))
            open_tag = False
        elif _TAG.fullmatch(item) is not None and not (tag and open_tag):
            tag, open_tag = item, True
        else:
            raise GtidFormatError(f"{item!r} in {part!r} is neither an interval nor a tag")
    if open_tag:
        raise GtidFormatError(f"{part!r} names no transaction")


def _interval(first: str, last: str | None, flavor: Flavor) -> Interval:
    start = int(first)
    end = start if last is None else int(last)
    if not 1 <= start <= end <= MAX_SEQUENCE[flavor]:
        raise GtidFormatError(f"{first}-{last or first} is not an interval of transaction numbers")
    return start, end


class MariadbGtidSet(_GtidMap[int]):
    """What MariaDB positions say about transactions: per domain the sequence numbers.

    A position `0-1-100` stands for all of domain 0 up to sequence number 100, whichever servers wrote it: within one
    domain the binary log has a total order, and sequence numbers grow along it (MariaDB manual, "Global Transaction
    ID"). So sets compare per domain by sequence number, and the server id is a label of the newest transaction: it is
    kept and written, and plays no part in comparisons. Two servers at `0-1-100` and `0-2-100` compare as equal although
    their histories have parted; see `parted_domains`.

    A difference need not be a position. Its pieces are written `domain-server-first-last`, which only `parse` of this
    class reads: ask `is_position` before a set goes to a server.
    """

    __slots__ = ("_servers",)
    _servers: Mapping[int, int]

    def __init__(self, members: Mapping[int, Intervals], servers: Mapping[int, int]) -> None:
        super().__init__(members)
        self._servers = {domain: servers[domain] for domain in self._members}

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `@@gtid_current_pos`, `@@gtid_binlog_pos`, `@@gtid_binlog_state`, `Gtid_IO_Pos` and the like.

        The empty text is the empty set. Several positions in one domain (a binlog state) count up to the newest.

        Raises:
            GtidFormatError: Not of the form `domain-server-sequence`, or a number out of range.
        """
        result = cls({}, {})
        for part in _SPACE.sub("", text).split(","):
            if part:
                result = result.union(cls._position(part))
        return result

    @classmethod
    def _position(cls, part: str) -> Self:
        match = _POSITION.fullmatch(part)
        if match is None:
            raise GtidFormatError(f"{part!r} is not domain-server-sequence")
        domain, server = int(match[1]), int(match[2])
        if domain >= 2**32 or server >= 2**32:
            raise GtidFormatError(f"{part!r} has a domain or server id of more than 32 bits")
        if match[4] is None and int(match[3]) == 0:  # Nothing yet in this domain.
            return cls({}, {})
        span = _interval(match[3] if match[4] is not None else "1", match[4] or match[3], Flavor.MARIADB)
        return cls({domain: (span,)}, {domain: server})

    def _with(self, members: Mapping[int, Intervals]) -> Self:
        return type(self)(members, self._servers)

    def union(self, other: Self) -> Self:
        """Return the transactions of either set; the newer one labels a domain, of two equally new the smaller id."""
        merged = self._merged(other)
        servers: dict[int, int] = {}
        for domain in merged:
            labelled = [one for one in (self, other) if domain in one._members]
            newest = max(one._members[domain][-1][1] for one in labelled)
            servers[domain] = min(one._servers[domain] for one in labelled if one._members[domain][-1][1] == newest)
        return type(self)(merged, servers)

    def domains(self) -> frozenset[int]:
        """Return the domains that occur."""
        return frozenset(self._members)

    def server_of(self, domain: int) -> int:
        """Return the server id of the newest transaction of a domain that occurs."""
        return self._servers[domain]

    def without_servers(self, server_ids: Iterable[int]) -> Self:
        """Return the set without the domains whose newest transaction one of these servers wrote."""
        dropped = set(server_ids)
        kept = {domain: found for domain, found in self._members.items() if self._servers[domain] not in dropped}
        return type(self)(kept, self._servers)

    def parted_domains(self, other: Self) -> frozenset[int]:
        """Return the domains in which both end at one sequence number, written by different servers: a fork."""
        return frozenset(
            domain
            for domain, found in self._members.items()
            if domain in other._members
            and found[-1][1] == other._members[domain][-1][1]
            and self._servers[domain] != other._servers[domain]
        )

    def is_position(self) -> bool:
        """Return whether every domain is whole from its start, so that a server can parse the text."""
        return all(len(found) == 1 and found[0][0] == 1 for found in self._members.values())

    def __str__(self) -> str:
        """Return positions, and pieces that are none as `domain-server-first-last`; sorted by domain."""
        return ",".join(
            f"{domain}-{self._servers[domain]}-{last}" if first == 1 and len(found) == 1
            else f"{domain}-{self._servers[domain]}-{first}-{last}"
            for domain, found in self._members.items()
            for first, last in found
        )  # fmt: skip


GtidSet = MysqlGtidSet | MariadbGtidSet


def parse_gtid_set(flavor: Flavor, text: str) -> GtidSet:
    """Parse a set of the flavor of the server that showed it.

    Raises:
        GtidFormatError: The text is not a GTID set of that flavor.
    """
    return MysqlGtidSet.parse(text) if flavor is Flavor.MYSQL else MariadbGtidSet.parse(text)

"""The conditions rules are made of: what is asked in words, the test, and what was seen, in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.analysis.circumstances import Circumstances
from services.analysis.model import ConditionTrace
from services.analysis.replica import GtidKind


@dataclass(frozen=True, slots=True)
class Condition:
    """One question about the circumstances.

    Attributes:
        text: The question as a statement: `no replica replicates`.
        holds: Whether it is so.
        seen: What was seen, for people: `2 of 3 replicas replicate`.
    """

    text: str
    holds: Callable[[Circumstances], bool]
    seen: Callable[[Circumstances], str]

    def trace(self, circumstances: Circumstances) -> ConditionTrace:
        """Return what the condition makes of the circumstances."""
        return ConditionTrace(self.text, self.seen(circumstances), self.holds(circumstances))


def _role(c: Circumstances) -> str:
    if not c.read_before:
        return "it was never read; no source of it is known"
    return f"it reads from {', '.join(map(str, c.sources))}" if c.sources else "it reads from nobody"


def _group(c: Circumstances) -> str:
    return "it is a member of a group and not offline" if c.group_member else "no group is known, or it is offline"


def _answer(c: Circumstances) -> str:
    if c.answers:
        return "its last probe succeeded"
    return f"its last probe failed: {c.error}" if c.error else "its last probe failed or has been hanging"


def _partly(c: Circumstances) -> str:
    return "the last probe got an answer, but not all of it" if c.partial else "the last probe got no answer"


def _replicas(c: Circumstances) -> str:
    return f"{c.counts.replicas} direct {'replica' if c.counts.replicas == 1 else 'replicas'}"


def _of_replicas(count: int, c: Circumstances, what: str) -> str:
    return f"{count} of {_replicas(c)} {what}"


def _valid(c: Circumstances) -> str:
    return _of_replicas(c.counts.valid, c, "answer")


def _replicating(c: Circumstances) -> str:
    text = _of_replicas(c.counts.replicating, c, "replicate")
    if not c.silent:
        return text
    names = ", ".join(map(str, c.silent))
    return f"{text}; not counted, because neither a heartbeat nor an event reached them in time: {names}"


def _failing(c: Circumstances) -> str:
    return _of_replicas(c.counts.failing_to_connect, c, "cannot connect")


def _formats(c: Circumstances) -> str:
    counts = c.counts
    return (
        f"of {counts.logging} replicas with a binary log, {counts.statement_based} write STATEMENT, "
        f"{counts.mixed_based} MIXED, {counts.row_based} ROW"
    )


def _gtid_modes(c: Circumstances) -> str:
    words = (mode or "none" for mode in (c.gtid_mode, c.gtids.smallest_mode, c.gtids.largest_mode))
    return "its GTID mode is {}, those of its replicas range from {} to {}".format(*words)


def _gtid_kinds(c: Circumstances) -> str:
    kinds = sorted(kind.value for kind in c.gtids.kinds)
    return f"every replica that answers uses {', '.join(kinds)}" if kinds else "no way that all that answer share"


def _lagging(c: Circumstances) -> str:
    return _of_replicas(c.counts.lagging, c, f"lag more than {c.limits.lag.total_seconds():g} s")


def _number(value: int | None) -> str:
    return "an unknown number" if value is None else str(value)


def _state(value: bool | None) -> str:
    return {True: "on", False: "off", None: "not known"}[value]


def _clients(c: Circumstances) -> str:
    clients, wanted = _number(c.semi_sync.clients), _number(c.semi_sync.wait_for_replica_count)
    return f"{clients} semi-synchronous replicas, commits wait for {wanted}"


def _standstill(c: Circumstances) -> str:
    limit = f"{c.limits.standstill.total_seconds():g} s"
    if c.standstill is None:
        return f"the binary log position was not under suspicion before (limit {limit})"
    return f"the binary log position stands still for {c.standstill.total_seconds():.1f} s (limit {limit})"


def _clients_differ(compare: Callable[[int, int], bool]) -> Callable[[Circumstances], bool]:
    def holds(c: Circumstances) -> bool:
        clients, wanted = c.semi_sync.clients, c.semi_sync.wait_for_replica_count
        return clients is not None and wanted is not None and compare(clients, wanted)

    return holds


IS_PRIMARY: Final = Condition("it is a primary", lambda c: c.primary, _role)
IS_NO_PRIMARY: Final = Condition("it is a replica", lambda c: not c.primary, _role)
IS_CO_PRIMARY: Final = Condition(
    "it is a co-primary",
    lambda c: c.co_primary,
    lambda c: "it and its source read from each other" if c.co_primary else "no source of it reads from it",
)
IS_GROUP_MEMBER: Final = Condition("it is a member of a replication group", lambda c: c.group_member, _group)
IS_NO_GROUP_MEMBER: Final = Condition("it is no member of a replication group", lambda c: not c.group_member, _group)
IS_BINLOG_SERVER: Final = Condition(
    "it is a binlog server",
    lambda c: c.binlog_server,
    lambda c: "it is a MaxScale binlog server" if c.binlog_server else "it is a database server",
)
IS_FIRST_TIER: Final = Condition(
    "it reads directly from a primary",
    lambda c: c.depth == 1,
    lambda c: f"its depth is {'not known' if c.depth is None else c.depth}",
)
CANNOT_REACH_SOURCE: Final = Condition(
    "it cannot connect to its source",
    lambda c: c.cannot_reach_source,
    lambda c: (
        "its applier runs and its receiver cannot connect" if c.cannot_reach_source else "it reports no such error"
    ),
)
ANSWERS: Final = Condition("it answers", lambda c: c.answers, _answer)
DOES_NOT_ANSWER: Final = Condition("it does not answer", lambda c: not c.answers, _answer)
ANSWERED_NOTHING: Final = Condition("the last probe did not fail half-way", lambda c: not c.partial, _partly)
ANSWERED_PARTLY: Final = Condition("the last probe failed half-way", lambda c: c.partial, _partly)

NO_REPLICAS: Final = Condition("it has no replicas", lambda c: c.counts.replicas == 0, _replicas)
HAS_REPLICAS: Final = Condition("it has replicas", lambda c: c.counts.replicas > 0, _replicas)
ONE_REPLICA: Final = Condition("it has one replica", lambda c: c.counts.replicas == 1, _replicas)
SEVERAL_REPLICAS: Final = Condition("it has several replicas", lambda c: c.counts.replicas > 1, _replicas)

ALL_VALID: Final = Condition("every replica answers", lambda c: c.counts.valid == c.counts.replicas, _valid)
ANY_VALID: Final = Condition("a replica answers", lambda c: c.counts.valid > 0, _valid)
NONE_VALID: Final = Condition("no replica answers", lambda c: c.counts.valid == 0, _valid)
SOME_VALID: Final = Condition(
    "some replicas answer, others do not", lambda c: 0 < c.counts.valid < c.counts.replicas, _valid
)

NONE_REPLICATING: Final = Condition("no replica replicates", lambda c: c.counts.replicating == 0, _replicating)
ANY_REPLICATING: Final = Condition("a replica replicates", lambda c: c.counts.replicating > 0, _replicating)
ANY_FAILING_TO_CONNECT: Final = Condition(
    "a replica cannot connect to it",
    lambda c: c.counts.failing_to_connect > 0,
    _failing,
)
ALL_CONNECTING_FAIL: Final = Condition(
    "every replica that answers cannot connect to it",
    lambda c: c.counts.failing_to_connect == c.counts.valid,
    lambda c: f"{c.counts.failing_to_connect} of {c.counts.valid} replicas that answer cannot connect",
)
ONE_FAILING_TO_CONNECT: Final = Condition(
    "one replica cannot connect to it", lambda c: c.counts.failing_to_connect == 1, _failing
)
ALL_LAGGING: Final = Condition("every replica lags", lambda c: c.counts.lagging == c.counts.replicas, _lagging)
NOT_ALL_DELAYED: Final = Condition(
    "not every replica is delayed on purpose",
    lambda c: c.counts.delayed < c.counts.replicas,
    lambda c: _of_replicas(c.counts.delayed, c, "have a configured delay"),
)

SEMI_SYNC_ENABLED: Final = Condition(
    "semi-synchronous replication is switched on",
    lambda c: c.semi_sync.source_enabled is True,
    lambda c: _state(c.semi_sync.source_enabled),
)
SEMI_SYNC_WORKING: Final = Condition(
    "it has not fallen back to asynchronous",
    lambda c: c.semi_sync.source_status is True,
    lambda c: f"semi-synchronous status {_state(c.semi_sync.source_status)}",
)
COMMITS_WAIT: Final = Condition(
    "commits wait for replicas",
    lambda c: (c.semi_sync.wait_for_replica_count or 0) > 0,
    lambda c: f"commits wait for {_number(c.semi_sync.wait_for_replica_count)}",
)
TOO_FEW_CLIENTS: Final = Condition(
    "fewer semi-synchronous replicas than commits wait for",
    _clients_differ(lambda clients, wanted: clients < wanted),
    _clients,
)
TOO_MANY_CLIENTS: Final = Condition(
    "more semi-synchronous replicas than commits wait for",
    _clients_differ(lambda clients, wanted: clients > wanted),
    _clients,
)
STANDS_STILL: Final = Condition("its binary log is proven to stand still", lambda c: c.stale_position, _standstill)
NOT_PROVEN_STILL: Final = Condition(
    "its binary log is not proven to stand still", lambda c: not c.stale_position, _standstill
)
ENFORCES_EXACT_SEMI_SYNC: Final = Condition(
    "the setting enforce_exact_semi_sync_replicas is on",
    lambda c: c.limits.enforce_exact_semi_sync_replicas,
    lambda c: _state(c.limits.enforce_exact_semi_sync_replicas),
)

RECOVERS_READ_ONLY: Final = Condition(
    "the setting recover_non_writeable_primary is on",
    lambda c: c.limits.recover_non_writeable_primary,
    lambda c: _state(c.limits.recover_non_writeable_primary),
)
READ_ONLY: Final = Condition(
    "it is read-only", lambda c: c.read_only is True, lambda c: f"read_only {_state(c.read_only)}"
)

SEMI_SYNC_FALLEN_BACK: Final = Condition(
    "it has fallen back to asynchronous",
    lambda c: c.semi_sync.source_status is False,
    lambda c: f"semi-synchronous status {_state(c.semi_sync.source_status)}",
)
NONE_LOGGING: Final = Condition(
    "no replica writes what it replicates to a binary log",
    lambda c: c.counts.logging == 0,
    lambda c: _of_replicas(c.counts.logging, c, "do"),
)
NOT_ORACLE_GTID: Final = Condition(
    "not every replica that answers positions itself automatically",
    lambda c: GtidKind.ORACLE not in c.gtids.kinds,
    _gtid_kinds,
)
NOT_MARIADB_GTID: Final = Condition(
    "not every replica that answers uses MariaDB's GTIDs", lambda c: GtidKind.MARIADB not in c.gtids.kinds, _gtid_kinds
)
NOT_BINLOG_SERVERS: Final = Condition(
    "not every replica that answers is a binlog server",
    lambda c: GtidKind.BINLOG_SERVER not in c.gtids.kinds,
    _gtid_kinds,
)
NO_PSEUDO_GTID: Final = Condition(
    "it has no Pseudo-GTID", lambda c: not c.pseudo_gtid, lambda c: f"Pseudo-GTID {_state(c.pseudo_gtid)}"
)
ANY_STATEMENT_BASED: Final = Condition("a replica logs STATEMENT", lambda c: c.counts.statement_based > 0, _formats)
ANY_MIXED_BASED: Final = Condition("a replica logs MIXED", lambda c: c.counts.mixed_based > 0, _formats)
ANY_ROW_BASED: Final = Condition("a replica logs ROW", lambda c: c.counts.row_based > 0, _formats)
SEVERAL_VERSIONS: Final = Condition(
    "replicas with a binary log have several major versions",
    lambda c: c.counts.major_versions > 1,
    lambda c: f"{c.counts.major_versions} major versions among {c.counts.logging} replicas with a binary log",
)
GTID_MODES_DIFFER: Final = Condition(
    "GTID modes differ",
    lambda c: c.gtid_mode != c.gtids.smallest_mode or c.gtid_mode != c.gtids.largest_mode,
    _gtid_modes,
)
ANY_ERRANT: Final = Condition(
    "a replica has transactions its source never had",
    lambda c: bool(c.gtids.errant),
    lambda c: f"{c.gtids.errant_at} has {c.gtids.errant}" if c.gtids.errant else "none is known to",
)

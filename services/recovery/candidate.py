"""Which replica of a failed primary has most and may lead, and which of the others can follow it.

The order, the filters and the classification are those of the recovery specification, section 8, with differences that
lose less: replicas are compared by what they *received*, not by what they had time to execute, and where they position
themselves by GTID, as sets, not as file and offset. When the filters refuse everybody, the first that is not banned is
taken as a last resort, unless it does not answer or is known to be broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.recovery.model import PromotionCandidate, Refusal, Verdict
from services.recovery.policy import DEFAULT_POLICY, PlanningPolicy
from services.recovery.positions import (
    Held,
    channel_from,
    empty_set,
    held,
    missing,
    purged,
    received_position,
    union_all,
)
from services.recovery.replicate_from import (
    FORMAT_ORDER,
    binlog_format_rank,
    configured_delay,
    major_version,
    why_not_replicate_from,
)
from services.shared.mysql.gtid import GtidSet, MariadbGtidSet
from services.shared.topology.channel import ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.operators import PromotionRule
from services.shared.topology.server import Flavor

LAST_RESORT: Final = frozenset(
    {
        Refusal.NO_BINLOG,
        Refusal.NO_LOG_REPLICA_UPDATES,
        Refusal.VERSION_TOO_HIGH,
        Refusal.BINLOG_FORMAT_TOO_LARGE,
    }
)
"""Refusals that protect the other replicas only: better a primary nobody can follow than none (section 8.3)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The replicas of a failed primary, weighed.

    Attributes:
        candidates: Every replica, best first, refused ones last.
        chosen: The replica to promote, or None.
        followers: Replicas that can follow it, by endpoint.
        lost: Why each of the others cannot.
        holdings: What each replica has.
        field: What they were compared with.
        regular: The chosen one passed every filter: it is no last resort.
    """

    candidates: tuple[PromotionCandidate, ...]
    chosen: Instance | None
    followers: tuple[Instance, ...]
    lost: Mapping[InstanceKey, str]
    holdings: Mapping[InstanceKey, Held]
    field: Field
    regular: bool = True


@dataclass(frozen=True, slots=True)
class Field:
    """What the choice compares each replica with.

    Attributes:
        by_gtid: Replicas position themselves by GTID; otherwise nobody can be made to follow another source.
        newest: All that the replicas together received from the primary.
    """

    failed: Instance
    flavor: Flavor
    by_gtid: bool
    replicas: Sequence[Instance]
    holdings: Mapping[InstanceKey, Held]
    newest: GtidSet
    usual_version: tuple[int, ...]
    usual_format: int
    policy: PlanningPolicy

    def missing_of(self, replica: Instance) -> GtidSet | None:
        """What the replicas together received and this one lacks; None = unknown."""
        everything = self.holdings[replica.key].everything
        return None if everything is None else missing(self.newest, everything)

    def behind(self, replica: Instance) -> int | None:
        """How far a replica is behind the most advanced, in transactions or in replicas; None = unknown."""
        if self.by_gtid:
            lacks = self.missing_of(replica)
            if lacks is None or self.newest:
                return None if lacks is None else lacks.count()
        mine = received_position(replica, self.failed.key)
        if mine is None:
            return 0 if self.by_gtid else None  # Nobody received anything: then nobody is behind.
        others = (received_position(each, self.failed.key) for each in self.replicas)
        return sum(1 for other in others if other is not None and other.follows(mine))


def _most_frequent_version(replicas: Sequence[Instance]) -> tuple[int, ...]:
    # Ties go to the smaller version as text, as the specification has it.
    counts = Counter(major_version(replica) for replica in replicas if major_version(replica))
    return min(counts, key=lambda version: (-counts[version], ".".join(map(str, version))), default=())


def _most_frequent_format(replicas: Sequence[Instance]) -> int:
    counts = Counter(binlog_format_rank(replica) for replica in replicas if replica.binlog_format)
    return min(counts, key=lambda rank: (-counts[rank], rank), default=len(FORMAT_ORDER))


def _field(failed: Instance, replicas: Sequence[Instance], policy: PlanningPolicy) -> Field:
    flavors = Counter(replica.flavor for replica in replicas if replica.flavor is not None)
    flavor = failed.flavor or (flavors.most_common(1)[0][0] if flavors else Flavor.MYSQL)
    uuids = [replica.server_uuid for replica in replicas]
    holdings = {
        replica.key: held(replica, failed, uuids) if replica.flavor is flavor else Held(None, None)
        for replica in replicas
    }
    known = (held.replicated for held in holdings.values())
    return Field(
        failed=failed,
        flavor=flavor,
        by_gtid=_by_gtid(replicas, failed.key, flavor),
        replicas=replicas,
        holdings=holdings,
        newest=union_all(flavor, (each for each in known if each is not None)),
        usual_version=_most_frequent_version(replicas),
        usual_format=_most_frequent_format(replicas),
        policy=policy,
    )


def _by_gtid(replicas: Sequence[Instance], source: InstanceKey, flavor: Flavor) -> bool:
    """Return whether any replica that answers positions itself by GTID; when none answers it does not matter."""
    valid = [replica for replica in replicas if replica.reading.last_check_valid]
    return not valid or any(not _no_gtid(replica, source, flavor) for replica in valid)


def _order(replica: Instance, field: Field) -> tuple[object, ...]:
    """Sort key: smaller is better; each criterion only breaks ties of those before it (section 8.2).

    A configured delay counts before everything: the specification compares executed coordinates, where a delayed
    replica comes last, and draining one may take as long as its delay.
    """
    behind = field.behind(replica)
    errant = field.holdings[replica.key].errant
    version = major_version(replica)
    return (
        bool(configured_delay(replica)),
        (behind is None, behind or 0),
        not replica.log_replica_updates,
        (not version, version),
        binlog_format_rank(replica),
        replica.data_center != field.failed.data_center,
        bool(errant) if errant is not None else True,
        replica.promotion_rule.value,
        replica.key,
    )


def _applier_failed(replica: Instance, source: InstanceKey) -> str:
    channel = channel_from(replica, source)
    if channel is None or not channel.sql_errno or channel.sql_state is ThreadState.ON:
        return ""
    return f"its applier stopped with error {channel.sql_errno}"


def _no_gtid(replica: Instance, source: InstanceKey, flavor: Flavor) -> str:
    if replica.flavor is not flavor:
        return "its GTIDs are of another flavor than the primary's"
    channel = channel_from(replica, source)
    if channel is not None and not channel.gtid_positioning:
        return "it does not position itself by GTID"
    # A server refuses to position a channel by GTID with another mode; one that was not read cannot contradict that.
    if flavor is Flavor.MYSQL and replica.gtid_mode.upper() not in ("", "ON", "ON_PERMISSIVE"):
        return f"its gtid_mode is {replica.gtid_mode}"
    return ""


def _too_high(replica: Instance, field: Field) -> tuple[Refusal, str] | None:
    version = major_version(replica)
    if field.usual_version and (not version or version > field.usual_version):
        usual = ".".join(map(str, field.usual_version))
        return Refusal.VERSION_TOO_HIGH, f"its version {replica.version or 'unknown'} is above {usual} of most replicas"
    if binlog_format_rank(replica) > field.usual_format:
        problem = f"its binary log format {replica.binlog_format or 'unknown'} is larger than that of most replicas"
        return Refusal.BINLOG_FORMAT_TOO_LARGE, problem
    return None


def why_broken(replica: Instance, source: InstanceKey, flavor: Flavor | None) -> tuple[Refusal, str] | None:
    """Return why a replica cannot be promoted, whatever anybody wants; None when it can.

    Args:
        replica: The replica.
        source: Whom it reads from.
        flavor: Of the failed primary, when replicas position themselves by GTID; None: they do not.
    """
    if not replica.reading.last_check_valid:
        problem = replica.reading.error or "its last probe failed"
        return Refusal.UNREACHABLE, f"it does not answer: {problem}"
    no_gtid = _no_gtid(replica, source, flavor) if flavor is not None else ""
    applier_failed = _applier_failed(replica, source)
    checks: tuple[tuple[bool, Refusal, str], ...] = (
        (bool(no_gtid), Refusal.NO_GTID, no_gtid),
        (len(replica.channels) > 1, Refusal.MULTI_SOURCE, "it also replicates from another source"),
        (bool(applier_failed), Refusal.APPLIER_FAILED, applier_failed),
    )
    return next(((refusal, reason) for holds, refusal, reason in checks if holds), None)


def why_banned(replica: Instance, policy: PlanningPolicy) -> tuple[Refusal, str] | None:
    """Return why a replica is never promoted (section 7.4); None when it may be."""
    reason = policy.banned(replica)
    if not reason:
        return None
    by_rule = replica.promotion_rule is PromotionRule.MUST_NOT
    return Refusal.MUST_NOT if by_rule else Refusal.IGNORED_HOST, reason


def why_no_source(replica: Instance) -> tuple[Refusal, str] | None:
    """Return why nobody could replicate from a replica once it is promoted; None when others could."""
    if not replica.log_bin:
        return Refusal.NO_BINLOG, "its binary log is off"
    if not replica.log_replica_updates:
        return Refusal.NO_LOG_REPLICA_UPDATES, "it does not log what it replicates"
    return None


def _refusal(replica: Instance, field: Field) -> tuple[Refusal, str] | None:
    """Return why a replica may not be promoted: what nobody can help first; None when it may."""
    broken = why_broken(replica, field.failed.key, field.flavor if field.by_gtid else None)
    if broken is not None:
        return broken
    if field.behind(replica) is None:
        return Refusal.POSITION_UNKNOWN, "its position could not be read"
    return why_banned(replica, field.policy) or why_no_source(replica) or _too_high(replica, field)


def why_lost(replica: Instance, chosen: Instance, field: Field) -> str:
    """Return why a replica cannot follow the one that is promoted (section 8.4 and 9.2), or nothing."""
    if not replica.reading.last_check_valid:
        return "unreachable: " + (replica.reading.error or "its last probe failed")
    if not field.by_gtid:
        return f"cannot be pointed at {chosen.key} without GTID: its positions mean nothing there"
    objection = why_not_replicate_from(replica, chosen, field.policy)
    objection = objection or _no_gtid(replica, field.failed.key, field.flavor)
    if objection:
        return f"cannot replicate from {chosen.key}: {objection}"
    return why_apart(field.holdings[replica.key], field.holdings[chosen.key], chosen)


def why_apart(mine: Held, theirs: Held, source: Instance) -> str:
    """Return why what an instance has keeps it from replicating from a source, in half a sentence; empty when not."""
    if mine.everything is None or mine.replicated is None or theirs.everything is None:
        return "its position could not be read"
    ahead = missing(mine.replicated, theirs.everything)
    if ahead:
        return f"ahead: {source.key} lacks {ahead}"
    gone = purged(source)
    if gone is None or missing(gone, mine.everything):
        return f"cannot replicate from {source.key}: that one has purged transactions it lacks"
    if isinstance(mine.everything, MariadbGtidSet) and isinstance(theirs.everything, MariadbGtidSet):
        parted = mine.everything.parted_domains(theirs.everything)
        if parted:
            return f"its history has parted from that of {source.key} in domain {min(parted)}"
    return ""


def choose_candidate(failed: Instance, replicas: Sequence[Instance], policy: PlanningPolicy = DEFAULT_POLICY) -> Choice:
    """Weigh the direct replicas of a failed primary.

    Args:
        failed: The primary, as last seen.
        replicas: All of its direct replicas, reachable or not, as read after the failure.
        policy: What steers the choice.
    """
    field = _field(failed, replicas, policy)
    ordered = sorted(replicas, key=lambda replica: _order(replica, field))
    refused = {replica.key: reason for replica in ordered if (reason := _refusal(replica, field)) is not None}
    regular = next((replica for replica in ordered if replica.key not in refused), None)
    chosen = regular or next((each for each in ordered if refused[each.key][0] in LAST_RESORT), None)
    others = [replica for replica in sorted(replicas, key=lambda each: each.key) if replica is not chosen]
    lost = {replica.key: why for replica in others if chosen and (why := why_lost(replica, chosen, field))}
    followers = tuple(replica for replica in others if chosen and replica.key not in lost)
    listed = _listed(ordered, chosen, refused, lost, field)
    return Choice(listed, chosen, followers, lost, field.holdings, field, regular is not None)


def _listed(
    ordered: Sequence[Instance],
    chosen: Instance | None,
    refused: Mapping[InstanceKey, tuple[Refusal, str]],
    lost: Mapping[InstanceKey, str],
    field: Field,
) -> tuple[PromotionCandidate, ...]:
    """Return all replicas: the chosen one, who could be promoted too, who could not."""
    first = [each for each in ordered if each is chosen]
    eligible = [each for each in ordered if each is not chosen and each.key not in refused]
    rest = [each for each in ordered if each is not chosen and each.key in refused]
    entries = []
    for replica in (*first, *eligible, *rest):
        refusal, why = refused.get(replica.key, (None, ""))
        position = _position(replica, field)
        if replica is chosen:
            reason = f"last resort: {why}, but nobody else may be promoted" if why else f"{position}; first in order"
            entries.append(_entry(replica, Verdict.CHOSEN, reason, field))
        elif refusal is None:
            reason = f"{position}; another one comes first{_fate(replica, lost)}"
            entries.append(_entry(replica, Verdict.ELIGIBLE, reason, field))
        else:
            fate = "" if refusal is Refusal.UNREACHABLE else _fate(replica, lost)
            entries.append(replace(_entry(replica, Verdict.REFUSED, why + fate, field), refusal=refusal))
    return ranked(entries)


def ranked(entries: Sequence[PromotionCandidate]) -> tuple[PromotionCandidate, ...]:
    """Return candidates with the chosen one first, the refused ones last, and their ranks."""
    kept = sorted(entries, key=lambda each: (each.verdict is not Verdict.CHOSEN, each.verdict is Verdict.REFUSED))
    return tuple(
        replace(each, rank=0 if each.verdict is Verdict.REFUSED else place) for place, each in enumerate(kept, start=1)
    )


def _fate(replica: Instance, lost: Mapping[InstanceKey, str]) -> str:
    return f"; lost: {lost[replica.key]}" if replica.key in lost else ""


def _position(replica: Instance, field: Field) -> str:
    if not field.by_gtid:
        where = received_position(replica, field.failed.key)
        return f"received up to {where.file}:{where.position}" if where is not None else "its position is not known"
    lacks = field.missing_of(replica)
    return f"lacks {lacks} that others received" if lacks else "received all that any replica received"


def _entry(replica: Instance, verdict: Verdict, reason: str, field: Field) -> PromotionCandidate:
    everything = field.holdings[replica.key].everything
    return PromotionCandidate(
        instance=replica.key,
        verdict=verdict,
        reason=reason,
        received_gtid_set=str(everything) if everything is not None else "",
        missing_gtid_set=str(field.missing_of(replica) or empty_set(field.flavor)),
    )

"""Which replica of a failed primary is promoted, and which of the others can follow it.

The order, the filters and the classification are those of the recovery specification, section 8, with two differences
that lose less: replicas are compared by what they *received*, not by what they had time to execute, and as GTID sets,
not as file and offset. Nobody is promoted whom the filters refuse; there is no fallback to "whoever is not banned".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.recovery.model import PromotionCandidate, Refusal, Verdict
from services.recovery.positions import (
    Held,
    channel_from,
    empty_set,
    held,
    missing,
    purged,
    union_all,
)
from services.recovery.replicate_from import (
    binlog_format_rank,
    configured_delay,
    major_version,
    why_not_replicate_from,
)
from services.shared.mysql.gtid import GtidSet, MariadbGtidSet
from services.shared.topology.instance import Flavor, Instance, InstanceKey, PromotionRule, ThreadState


@dataclass(frozen=True, slots=True)
class Choice:
    """The replicas of a failed primary, weighed.

    Attributes:
        candidates: Every replica, best first, refused ones last.
        chosen: The replica to promote, or None.
        followers: Replicas that can follow it, by endpoint.
        lost: Why each of the others cannot.
        holdings: What each replica has.
    """

    candidates: tuple[PromotionCandidate, ...]
    chosen: Instance | None
    followers: tuple[Instance, ...]
    lost: Mapping[InstanceKey, str]
    holdings: Mapping[InstanceKey, Held]


@dataclass(frozen=True, slots=True)
class _Field:
    """What the choice compares each replica with."""

    failed: Instance
    flavor: Flavor
    holdings: Mapping[InstanceKey, Held]
    newest: GtidSet
    usual_version: tuple[int, ...]
    usual_format: int

    def missing_of(self, replica: Instance) -> GtidSet | None:
        """What the replicas together received and this one lacks; None = unknown."""
        everything = self.holdings[replica.key].everything
        return None if everything is None else missing(self.newest, everything)


def _most_frequent_version(replicas: Sequence[Instance]) -> tuple[int, ...]:
    # Ties go to the smaller version as text, as the specification has it.
    counts = Counter(major_version(replica) for replica in replicas if major_version(replica))
    return min(counts, key=lambda version: (-counts[version], ".".join(map(str, version))), default=())


def _most_frequent_format(replicas: Sequence[Instance]) -> int:
    counts = Counter(binlog_format_rank(replica) for replica in replicas if replica.binlog_format)
    return min(counts, key=lambda rank: (-counts[rank], rank), default=0)


def _field(failed: Instance, replicas: Sequence[Instance]) -> _Field:
    flavors = Counter(replica.flavor for replica in replicas if replica.flavor is not None)
    flavor = failed.flavor or (flavors.most_common(1)[0][0] if flavors else Flavor.MYSQL)
    uuids = [replica.server_uuid for replica in replicas]
    holdings = {
        replica.key: held(replica, failed, uuids) if replica.flavor is flavor else Held(None, None)
        for replica in replicas
    }
    known = (held.replicated for held in holdings.values())
    return _Field(
        failed=failed,
        flavor=flavor,
        holdings=holdings,
        newest=union_all(flavor, (each for each in known if each is not None)),
        usual_version=_most_frequent_version(replicas),
        usual_format=_most_frequent_format(replicas),
    )


def _order(replica: Instance, field: _Field) -> tuple[object, ...]:
    """Sort key: smaller is better; each criterion only breaks ties of those before it (section 8.2).

    A configured delay counts before everything: the specification compares executed coordinates, where a delayed
    replica comes last, and draining one may take as long as its delay.
    """
    lacks = field.missing_of(replica)
    errant = field.holdings[replica.key].errant
    version = major_version(replica)
    return (
        bool(configured_delay(replica)),
        (lacks is None, lacks.count() if lacks is not None else 0),
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
    if flavor is Flavor.MYSQL and replica.gtid_mode.upper() not in ("ON", "ON_PERMISSIVE"):
        return f"its gtid_mode is {replica.gtid_mode or 'unknown'}"
    return ""


def _too_high(replica: Instance, field: _Field) -> tuple[Refusal, str] | None:
    version = major_version(replica)
    if not version or version > field.usual_version:
        usual = ".".join(map(str, field.usual_version))
        return Refusal.VERSION_TOO_HIGH, f"its version {replica.version or 'unknown'} is above {usual} of most replicas"
    if binlog_format_rank(replica) > field.usual_format:
        problem = f"its binary log format {replica.binlog_format or 'unknown'} is larger than that of most replicas"
        return Refusal.BINLOG_FORMAT_TOO_LARGE, problem
    return None


def _refusal(replica: Instance, field: _Field) -> tuple[Refusal, str] | None:
    """Return why a replica may not be promoted, the first reason that holds; None when it may."""
    source = field.failed.key
    if not replica.reading.last_check_valid:
        problem = replica.reading.error or "its last probe failed"
        return Refusal.UNREACHABLE, f"it does not answer: {problem}"
    no_gtid, applier_failed = _no_gtid(replica, source, field.flavor), _applier_failed(replica, source)
    checks: tuple[tuple[bool, Refusal, str], ...] = (
        (bool(no_gtid), Refusal.NO_GTID, no_gtid),
        (field.missing_of(replica) is None, Refusal.POSITION_UNKNOWN, "its position could not be read"),
        (len(replica.channels) > 1, Refusal.MULTI_SOURCE, "it also replicates from another source"),
        (not replica.log_bin, Refusal.NO_BINLOG, "its binary log is off"),
        (not replica.log_replica_updates, Refusal.NO_LOG_REPLICA_UPDATES, "it does not log what it replicates"),
        (bool(applier_failed), Refusal.APPLIER_FAILED, applier_failed),
        (replica.promotion_rule is PromotionRule.MUST_NOT, Refusal.MUST_NOT, "its promotion rule is MUST_NOT"),
    )
    for holds, refusal, reason in checks:
        if holds:
            return refusal, reason
    return _too_high(replica, field)


def _why_lost(replica: Instance, chosen: Instance, field: _Field) -> str:
    """Return why a replica cannot follow the chosen one (section 8.4 and 9.2), or nothing."""
    if not replica.reading.last_check_valid:
        return "unreachable: " + (replica.reading.error or "its last probe failed")
    objection = why_not_replicate_from(replica, chosen) or _no_gtid(replica, field.failed.key, field.flavor)
    if objection:
        return f"cannot replicate from {chosen.key}: {objection}"
    mine, theirs = field.holdings[replica.key], field.holdings[chosen.key]
    if mine.everything is None or mine.replicated is None or theirs.everything is None:
        return "its position could not be read"
    return _why_apart(mine, theirs, chosen)


def _why_apart(mine: Held, theirs: Held, chosen: Instance) -> str:
    assert mine.everything is not None
    assert mine.replicated is not None
    assert theirs.everything is not None
    ahead = missing(mine.replicated, theirs.everything)
    if ahead:
        return f"ahead: {chosen.key} lacks {ahead}"
    gone = purged(chosen)
    if gone is None or missing(gone, mine.everything):
        return f"cannot replicate from {chosen.key}: that one has purged transactions it lacks"
    if isinstance(mine.everything, MariadbGtidSet) and isinstance(theirs.everything, MariadbGtidSet):
        parted = mine.everything.parted_domains(theirs.everything)
        if parted:
            return f"its history has parted from that of {chosen.key} in domain {min(parted)}"
    return ""


def choose_candidate(failed: Instance, replicas: Sequence[Instance]) -> Choice:
    """Weigh the direct replicas of a failed primary.

    Args:
        failed: The primary, as last seen.
        replicas: All of its direct replicas, reachable or not, as read after the failure.
    """
    field = _field(failed, replicas)
    ordered = sorted(replicas, key=lambda replica: _order(replica, field))
    refused = {replica.key: reason for replica in ordered if (reason := _refusal(replica, field)) is not None}
    eligible = [replica for replica in ordered if replica.key not in refused]
    chosen = eligible[0] if eligible else None
    others = [replica for replica in sorted(replicas, key=lambda each: each.key) if replica is not chosen]
    lost = {replica.key: why for replica in others if chosen and (why := _why_lost(replica, chosen, field))}
    listed = [_eligible_entry(replica, rank, field, lost) for rank, replica in enumerate(eligible, start=1)]
    listed += [_refused_entry(each, refused[each.key], field, lost) for each in ordered if each.key in refused]
    followers = tuple(replica for replica in others if chosen and replica.key not in lost)
    return Choice(tuple(listed), chosen, followers, lost, field.holdings)


def _eligible_entry(replica: Instance, rank: int, field: _Field, lost: Mapping[InstanceKey, str]) -> PromotionCandidate:
    lacks = field.missing_of(replica)
    assert lacks is not None
    position = f"lacks {lacks} that others received" if lacks else "received all that any replica received"
    if rank == 1:
        return _entry(replica, Verdict.CHOSEN, field, rank, reason=f"{position}; first in order")
    fate = f"; lost: {lost[replica.key]}" if replica.key in lost else ""
    return _entry(replica, Verdict.ELIGIBLE, field, rank, reason=f"{position}; another one comes first{fate}")


def _refused_entry(
    replica: Instance, refused: tuple[Refusal, str], field: _Field, lost: Mapping[InstanceKey, str]
) -> PromotionCandidate:
    refusal, reason = refused
    fate = f"; lost: {lost[replica.key]}" if replica.key in lost and refusal is not Refusal.UNREACHABLE else ""
    return _entry(replica, Verdict.REFUSED, field, reason=reason + fate, refusal=refusal)


def _entry(
    replica: Instance, verdict: Verdict, field: _Field, rank: int = 0, *, reason: str, refusal: Refusal | None = None
) -> PromotionCandidate:
    everything = field.holdings[replica.key].everything
    return PromotionCandidate(
        instance=replica.key,
        verdict=verdict,
        rank=rank,
        refusal=refusal,
        reason=reason,
        received_gtid_set=str(everything) if everything is not None else "",
        missing_gtid_set=str(field.missing_of(replica) or empty_set(field.flavor)),
    )

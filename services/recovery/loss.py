"""How much a failover may lose, stated strictly: what cannot be proven is unknown, and unknown is not zero.

A transaction can be lost only if the primary acknowledged it to a client and the successor lacks it. Two things bound
what it acknowledged:

- *Fenced*: the failed primary answered, was made read-only with its sessions killed, and its executed set was read
  afterwards. That set has all it ever acknowledged.
- *Semi-synchronous*: everything acknowledged until the last good probe is in the executed set of that probe, and
  everything acknowledged after it was received by at least `wait count` replicas, provided that (a) the source side
  was working at that probe, (b) so little time has passed since that it cannot have given up waiting (its timeout),
  and (c) fewer acknowledging replicas than the wait count are missing from what we read. A replica that has restarted
  since is missing: it may have thrown unapplied relay logs away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.recovery.model import Loss, LossState
from services.recovery.positions import Held, executed, missing, union, union_all
from services.shared.mysql.gtid import GtidSet
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.server import Flavor


def assess_loss(
    failed: Instance,
    replicas: Sequence[Instance],
    holdings: Mapping[InstanceKey, Held],
    chosen: Instance,
    now: datetime,
    fenced: GtidSet | None = None,
) -> Loss:
    """Say what is lost when `chosen` becomes the primary after it has applied everything it received.

    Args:
        failed: The failed primary as last seen.
        replicas: Its direct replicas, read after the failure.
        holdings: What each replica has.
        chosen: The successor; its position is known.
        now: When this is asked, by the clock that also stamps readings.
        fenced: Executed set of the failed primary, read after it was fenced.
    """
    has = holdings[chosen.key].everything
    assert has is not None
    if fenced is not None:
        return _bounded(missing(fenced, has), "the failed primary was made read-only and read afterwards")
    acknowledged, objection = _acknowledged(failed, replicas, holdings, now)
    if acknowledged is None:
        return Loss(LossState.UNKNOWN, str(missing(_seen(failed, holdings, has), has)), objection)
    return _bounded(missing(acknowledged, has), objection)


def _bounded(lost: GtidSet, ground: str) -> Loss:
    if lost:
        return Loss(LossState.BOUNDED, str(lost), f"{ground}; the successor lacks {lost.count()} of its transactions")
    return Loss(LossState.PROVEN_NONE, "", f"{ground}; the successor has all of it")


def _seen(failed: Instance, holdings: Mapping[InstanceKey, Held], has: GtidSet) -> GtidSet:
    """Return all that is known to have been on the failed primary."""
    known = [each.replicated for each in holdings.values() if each.replicated is not None]
    last = executed(failed)
    if last is not None and type(last) is type(has):
        known.append(last)
    whole = has
    for part in known:
        whole = union(whole, part)
    return whole


def _acknowledged(
    failed: Instance, replicas: Sequence[Instance], holdings: Mapping[InstanceKey, Held], now: datetime
) -> tuple[GtidSet | None, str]:
    """Return what the primary can have acknowledged at most, and why; None and why not."""
    objection = _why_not_semi_sync(failed, now)
    if objection:
        return None, objection
    last = executed(failed)
    if last is None or failed.flavor is None:
        return None, "the executed set of the failed primary was never read"
    enabled = [replica for replica in replicas if replica.semi_sync.replica_enabled]
    ackers = [replica for replica in enabled if _accounted(replica, holdings[replica.key], failed, now)]
    needed = _wait_count(failed)
    absent = max(failed.semi_sync.clients or 0, len(enabled)) - len(ackers)
    if absent >= needed:
        return None, (
            f"the primary waited for {needed} acknowledgement(s), and {absent} replica(s) that may have given them "
            "could not be read or have restarted since"
        )
    sets = (holdings[replica.key].replicated for replica in ackers)
    whole = union_all(failed.flavor, (each for each in sets if each is not None))
    return union(last, whole), (
        f"the primary was semi-synchronous with wait count {needed}, "
        f"and {len(ackers)} replica(s) that acknowledged to it were read"
    )


def _accounted(replica: Instance, holding: Held, failed: Instance, now: datetime) -> bool:
    """Return whether what a replica acknowledged since the last good probe of the primary is in what was read."""
    if not replica.reading.last_check_valid or holding.replicated is None or replica.uptime is None:
        return False
    assert failed.reading.last_seen_time is not None
    return replica.uptime > now - failed.reading.last_seen_time


def _wait_count(failed: Instance) -> int:
    # MariaDB always waits for one and has no setting for it.
    return 1 if failed.flavor is Flavor.MARIADB else failed.semi_sync.wait_for_replica_count or 0


def _why_not_semi_sync(failed: Instance, now: datetime) -> str:
    semi_sync, seen = failed.semi_sync, failed.reading.last_seen_time
    if seen is None:
        return "the failed primary was never read"
    if not semi_sync.source_enabled:
        return f"replication is asynchronous: what was committed after {seen:%H:%M:%S.%f} UTC is not known"
    if not semi_sync.source_status:
        return "the primary had fallen back to asynchronous replication when it was last seen"
    if _wait_count(failed) < 1 or semi_sync.clients is None:
        return "how many acknowledgements the primary waited for is not known"
    if semi_sync.timeout is None or now - seen >= semi_sync.timeout:
        return "since it was last seen the primary may have fallen back to asynchronous replication (its timeout)"
    return ""

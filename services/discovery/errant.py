"""Transactions that a replica has and its source never had."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from services.shared.mysql.gtid import GtidFormatError, GtidSet, MariadbGtidSet, MysqlGtidSet, parse_gtid_set
from services.shared.topology.instance import Instance
from services.shared.topology.server import Flavor


@lru_cache(maxsize=512)
def _parse(flavor: Flavor, text: str) -> GtidSet:
    return parse_gtid_set(flavor, text)


def errant_gtids(replica: Instance, source: Instance, ancestors: Iterable[Instance]) -> str:
    """Return the GTIDs of a replica that its source never had; empty also when it cannot be told.

    Transactions of ancestors are dropped first: they are on their way, and the source may have been read a moment too
    early. A co-primary's own are dropped too, for the same reason.

    Args:
        replica: Its executed set must have been read before that of `source`: the other order invents errant GTIDs.
        source: Whom it reads from; it has been read, so an empty executed set is empty, not unknown.
        ancestors: `source`, its source, and so on.
    """
    if replica.flavor is None or replica.flavor is not source.flavor:
        return ""
    dropped = [*ancestors, replica] if replica.co_primary else list(ancestors)
    try:
        mine = _parse(replica.flavor, replica.executed_gtid_set)
        theirs = _parse(replica.flavor, source.executed_gtid_set)
    except GtidFormatError:
        return ""
    if isinstance(mine, MysqlGtidSet) and isinstance(theirs, MysqlGtidSet):
        return str(mine.without_uuids(instance.server_uuid for instance in dropped).subtract(theirs))
    if isinstance(mine, MariadbGtidSet) and isinstance(theirs, MariadbGtidSet):
        return str(mine.without_servers(instance.server_id for instance in dropped).subtract(theirs))
    return ""

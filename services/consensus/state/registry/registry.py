"""All tables of the registry, and what a registry command does to them (10, F7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from services.consensus.errors import Downtimed, PolicyChanged, RecoveriesDisabled
from services.consensus.state.commands import RegisterRecovery
from services.consensus.state.registry import (
    cluster_name,
    downtime,
    maintenance,
    policy,
    pool,
    promotion_rule,
    setting,
    tag,
)
from services.consensus.state.registry.cluster_name import ClusterName
from services.consensus.state.registry.commands import (
    BeginDowntime,
    BeginMaintenance,
    DeleteClusterName,
    DeletePolicy,
    DeletePool,
    DeletePromotionRule,
    DeleteSetting,
    DeleteTag,
    EndDowntime,
    EndMaintenance,
    RegistryCommand,
    SetClusterName,
    SetPolicy,
    SetPool,
    SetPromotionRule,
    SetSetting,
    SetTag,
)
from services.consensus.state.registry.downtime import Downtime
from services.consensus.state.registry.item_table import ItemTable
from services.consensus.state.registry.maintenance import Maintenance
from services.consensus.state.registry.origin import Written
from services.consensus.state.registry.policy import Policy
from services.consensus.state.registry.pool import Pool
from services.consensus.state.registry.promotion_rule import PromotionRule
from services.consensus.state.registry.scope import cluster_scope, instance_scope
from services.consensus.state.registry.setting import OFF, RECOVERIES, Setting
from services.consensus.state.registry.tag import Tag
from services.consensus.state.rows import (
    CLUSTER_NAMES,
    DOWNTIMES,
    MAINTENANCES,
    POLICIES,
    POOLS,
    PROMOTION_RULES,
    REVISIONS,
    SETTINGS,
    TAGS,
    Change,
    Row,
    put,
)
from services.shared.runtime.errors import DomainError

MAX_ENDED: Final = 100
"""Items that end with one entry, so that no entry is expensive."""

RegistryItem = Downtime | Maintenance | PromotionRule | Tag | Pool | ClusterName | Policy | Setting


class Registry:
    """The tables, by noun.

    Attributes:
        revision: Log index of the last change here since this member started; readers need not look before it moves.
        policy_revision: Log index of the last change of any policy, its end included; 0 = there never was one.
    """

    def __init__(self, rows: Mapping[str, Iterable[Any]]) -> None:
        """Take the rows of a store."""
        self.downtimes = ItemTable(DOWNTIMES, _items(Downtime, rows, DOWNTIMES), lambda item: item.end_ms)
        self.maintenances = ItemTable(MAINTENANCES, _items(Maintenance, rows, MAINTENANCES), lambda item: item.end_ms)
        self.rules = ItemTable(PROMOTION_RULES, _items(PromotionRule, rows, PROMOTION_RULES), lambda item: item.end_ms)
        self.tags = ItemTable(TAGS, _items(Tag, rows, TAGS))
        self.pools = ItemTable(POOLS, _items(Pool, rows, POOLS), lambda item: item.end_ms)
        self.names = ItemTable(CLUSTER_NAMES, _items(ClusterName, rows, CLUSTER_NAMES))
        self.policies = ItemTable(POLICIES, _items(Policy, rows, POLICIES), lambda item: item.end_ms)
        self.settings = ItemTable(SETTINGS, _items(Setting, rows, SETTINGS))
        self.revision = 0
        self.policy_revision = max((index for name, index in rows.get(REVISIONS, ()) if name == POLICIES), default=0)
        self._due_ms = self._next_due_ms()

    @property
    def tables(self) -> tuple[ItemTable[Any], ...]:
        """All tables, in the order in which their items end."""
        return (
            self.downtimes,
            self.maintenances,
            self.rules,
            self.tags,
            self.pools,
            self.names,
            self.policies,
            self.settings,
        )

    @property
    def due_ms(self) -> int | None:
        """When the next item ends, Unix milliseconds; None = none does."""
        return self._due_ms

    def rows(self) -> dict[str, Sequence[Row]]:
        """Return the rows of all tables."""
        revisions: Sequence[Row] = ((POLICIES, self.policy_revision),) if self.policy_revision else ()
        return {**{table.name: table.rows() for table in self.tables}, REVISIONS: revisions}

    def end_due(self, index: int, now_ms: int) -> tuple[Change, ...]:
        """End items whose time has come, some with this entry, the rest with the next ones."""
        if self._due_ms is None or now_ms < self._due_ms:
            return ()
        ended: list[Change] = []
        for table in self.tables:
            ended += table.end_due(now_ms, MAX_ENDED - len(ended))
        return self._noted(index, tuple(ended))

    def write(
        self, index: int, now_ms: int, command: RegistryCommand
    ) -> tuple[tuple[Change, ...], RegistryItem | DomainError]:
        """Carry out a command; the answer is the item it wrote or took away."""
        written = Written(command.origin.owner, command.origin.reason, index, now_ms)
        changes, answer = self._write(command, written)
        return self._noted(index, changes), answer

    def gate(self, now_ms: int, command: RegisterRecovery) -> DomainError | None:
        """Return what forbids a recovery now, whatever its gates saw before (F7); None = nothing does."""
        if command.policy_revision and command.policy_revision != self.policy_revision:
            return PolicyChanged(newest=self.policy_revision, offered=command.policy_revision)
        if not command.automatic:
            return None
        switch = self.settings.get(RECOVERIES)
        if switch is not None and switch.value == OFF:
            return RecoveriesDisabled(switch.written.owner, switch.written.reason)
        for scope in (instance_scope(command.failed_instance), cluster_scope(command.cluster_id)):
            found = self.downtimes.get(scope)
            if found is not None and found.active_at(now_ms):
                return Downtimed(scope, found.written.owner, found.written.reason, found.end_ms)
        return None

    def _write(
        self, command: RegistryCommand, written: Written
    ) -> tuple[tuple[Change, ...], RegistryItem | DomainError]:
        match command:
            case BeginDowntime():
                return downtime.begin_downtime(self.downtimes, command, written)
            case EndDowntime():
                return self.downtimes.remove(command.scope)
            case BeginMaintenance():
                return maintenance.begin_maintenance(self.maintenances, command, written)
            case EndMaintenance():
                return maintenance.end_maintenance(self.maintenances, command, written.write_ms)
            case SetPromotionRule():
                return promotion_rule.set_promotion_rule(self.rules, command, written)
            case DeletePromotionRule():
                return self.rules.remove(command.instance)
            case SetTag():
                return tag.set_tag(self.tags, command, written)
            case DeleteTag():
                return self.tags.remove(command.instance, command.name)
            case SetPool():
                return pool.set_pool(self.pools, command, written)
            case DeletePool():
                return self.pools.remove(command.name)
            case SetClusterName():
                return cluster_name.set_cluster_name(self.names, command, written)
            case DeleteClusterName():
                return self.names.remove(command.cluster_id)
            case SetPolicy():
                return policy.set_policy(self.policies, command, written)
            case DeletePolicy():
                return self.policies.remove(command.scope)
            case SetSetting():
                return setting.set_setting(self.settings, command, written)
            case DeleteSetting():
                return self.settings.remove(command.name)

    def _noted(self, index: int, changes: tuple[Change, ...]) -> tuple[Change, ...]:
        if not changes:
            return ()
        self.revision = index
        self._due_ms = self._next_due_ms()
        if not any(change.table == POLICIES for change in changes):
            return changes
        self.policy_revision = index
        return (*changes, put(REVISIONS, (POLICIES, index)))

    def _next_due_ms(self) -> int | None:
        return min((end for table in self.tables if (end := table.next_end_ms()) is not None), default=None)


def _items(kind: Any, rows: Mapping[str, Iterable[Any]], table: str) -> Iterable[Any]:
    return (kind.from_row(*row) for row in rows.get(table, ()))

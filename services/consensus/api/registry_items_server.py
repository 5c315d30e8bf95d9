"""The servicer of the registry's small tables: it translates and delegates."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol, TypeVar

from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc
from primacy.consensus.v1 import registry_pb2 as pb

from services.consensus.api import convert, convert_registry, parse_registry
from services.consensus.api.registry_reader import RegistryReader
from services.consensus.api.registry_watch import watch_registry
from services.consensus.api.watches import chunks
from services.consensus.app import ConsensusApp
from services.consensus.state.registry.cluster_name import ClusterName
from services.consensus.state.registry.downtime import Downtime
from services.consensus.state.registry.item_table import Item
from services.consensus.state.registry.maintenance import Maintenance
from services.consensus.state.registry.policy import Policy
from services.consensus.state.registry.pool import Pool
from services.consensus.state.registry.promotion_rule import PromotionRule
from services.consensus.state.registry.registry import Registry
from services.consensus.state.registry.setting import Setting
from services.consensus.state.registry.tag import Tag
from services.shared.runtime.paging import page_of

ItemT = TypeVar("ItemT", bound=Item)
MessageT = TypeVar("MessageT")


class _List(Protocol):
    """What all requests that list have in common."""

    @property
    def page_size(self) -> int: ...
    @property
    def page_token(self) -> str: ...
    @property
    def consistency(self) -> int: ...
    @property
    def min_index(self) -> int: ...


class RegistryItemsServicer(pb_grpc.RegistryServiceServicer):
    """Downtimes, maintenances, promotion rules, tags, pools, names, policies, settings."""

    def __init__(self, app: ConsensusApp) -> None:
        self._app = app
        self._reader = RegistryReader(app)

    async def BeginDowntime(self, request: pb.BeginDowntimeRequest, context: Any) -> pb.BeginDowntimeResponse:
        """Leave an instance or a cluster alone for a time."""
        downtime = await self._app.ask(Downtime, parse_registry.begin_downtime_from_proto(request))
        return pb.BeginDowntimeResponse(downtime=convert_registry.downtime_to_proto(downtime))

    async def EndDowntime(self, request: pb.EndDowntimeRequest, context: Any) -> pb.EndDowntimeResponse:
        """End a downtime before its time."""
        downtime = await self._app.ask(Downtime, parse_registry.end_downtime_from_proto(request))
        return pb.EndDowntimeResponse(downtime=convert_registry.downtime_to_proto(downtime))

    async def ListDowntimes(self, request: pb.ListDowntimesRequest, context: Any) -> pb.ListDowntimesResponse:
        """List downtimes."""
        scope = parse_registry.scope_from_request(request)
        found = [each for each in (await self._read(request)).downtimes.all() if scope in ("", each.scope)]
        page, following = _page(found, request, convert_registry.downtime_to_proto)
        return pb.ListDowntimesResponse(downtimes=page, next_page_token=following, **self._standing())

    async def BeginMaintenance(self, request: pb.BeginMaintenanceRequest, context: Any) -> pb.BeginMaintenanceResponse:
        """Take an instance or a cluster for exclusive work."""
        maintenance = await self._app.ask(Maintenance, parse_registry.begin_maintenance_from_proto(request))
        return pb.BeginMaintenanceResponse(maintenance=convert_registry.maintenance_to_proto(maintenance))

    async def EndMaintenance(self, request: pb.EndMaintenanceRequest, context: Any) -> pb.EndMaintenanceResponse:
        """Let it go."""
        maintenance = await self._app.ask(Maintenance, parse_registry.end_maintenance_from_proto(request))
        return pb.EndMaintenanceResponse(maintenance=convert_registry.maintenance_to_proto(maintenance))

    async def ListMaintenances(self, request: pb.ListMaintenancesRequest, context: Any) -> pb.ListMaintenancesResponse:
        """List maintenances."""
        scope = parse_registry.scope_from_request(request)
        found = [each for each in (await self._read(request)).maintenances.all() if scope in ("", each.scope)]
        page, following = _page(found, request, convert_registry.maintenance_to_proto)
        return pb.ListMaintenancesResponse(maintenances=page, next_page_token=following, **self._standing())

    async def SetPromotionRule(self, request: pb.SetPromotionRuleRequest, context: Any) -> pb.SetPromotionRuleResponse:
        """Say how an instance is to be treated when a successor is chosen."""
        rule = await self._app.ask(PromotionRule, parse_registry.set_promotion_rule_from_proto(request))
        return pb.SetPromotionRuleResponse(promotion_rule=convert_registry.promotion_rule_to_proto(rule))

    async def DeletePromotionRule(
        self, request: pb.DeletePromotionRuleRequest, context: Any
    ) -> pb.DeletePromotionRuleResponse:
        """Delete an instance's rule."""
        rule = await self._app.ask(PromotionRule, parse_registry.delete_promotion_rule_from_proto(request))
        return pb.DeletePromotionRuleResponse(promotion_rule=convert_registry.promotion_rule_to_proto(rule))

    async def ListPromotionRules(
        self, request: pb.ListPromotionRulesRequest, context: Any
    ) -> pb.ListPromotionRulesResponse:
        """List promotion rules."""
        only = parse_registry.instance_from_request(request)
        found = [each for each in (await self._read(request)).rules.all() if only in ("", each.instance)]
        page, following = _page(found, request, convert_registry.promotion_rule_to_proto)
        return pb.ListPromotionRulesResponse(promotion_rules=page, next_page_token=following, **self._standing())

    async def SetTag(self, request: pb.SetTagRequest, context: Any) -> pb.SetTagResponse:
        """Put a tag on an instance."""
        tag = await self._app.ask(Tag, parse_registry.set_tag_from_proto(request))
        return pb.SetTagResponse(tag=convert_registry.tag_to_proto(tag))

    async def DeleteTag(self, request: pb.DeleteTagRequest, context: Any) -> pb.DeleteTagResponse:
        """Take a tag off an instance."""
        tag = await self._app.ask(Tag, parse_registry.delete_tag_from_proto(request))
        return pb.DeleteTagResponse(tag=convert_registry.tag_to_proto(tag))

    async def ListTags(self, request: pb.ListTagsRequest, context: Any) -> pb.ListTagsResponse:
        """List tags."""
        only = parse_registry.instance_from_request(request)
        value = request.value if request.HasField("value") else None
        found = [
            each
            for each in (await self._read(request)).tags.all()
            if only in ("", each.instance) and request.name in ("", each.name) and value in (None, each.value)
        ]
        page, following = _page(found, request, convert_registry.tag_to_proto)
        return pb.ListTagsResponse(tags=page, next_page_token=following, **self._standing())

    async def SetPool(self, request: pb.SetPoolRequest, context: Any) -> pb.SetPoolResponse:
        """Say which instances a pool has."""
        pool = await self._app.ask(Pool, parse_registry.set_pool_from_proto(request))
        return pb.SetPoolResponse(pool=convert_registry.pool_to_proto(pool))

    async def DeletePool(self, request: pb.DeletePoolRequest, context: Any) -> pb.DeletePoolResponse:
        """Delete a pool."""
        pool = await self._app.ask(Pool, parse_registry.delete_pool_from_proto(request))
        return pb.DeletePoolResponse(pool=convert_registry.pool_to_proto(pool))

    async def ListPools(self, request: pb.ListPoolsRequest, context: Any) -> pb.ListPoolsResponse:
        """List pools."""
        only = parse_registry.instance_from_request(request)
        found = [each for each in (await self._read(request)).pools.all() if not only or only in each.members]
        page, following = _page(found, request, convert_registry.pool_to_proto)
        return pb.ListPoolsResponse(pools=page, next_page_token=following, **self._standing())

    async def SetClusterName(self, request: pb.SetClusterNameRequest, context: Any) -> pb.SetClusterNameResponse:
        """Name a cluster."""
        name = await self._app.ask(ClusterName, parse_registry.set_cluster_name_from_proto(request))
        return pb.SetClusterNameResponse(cluster_name=convert_registry.cluster_name_to_proto(name))

    async def DeleteClusterName(
        self, request: pb.DeleteClusterNameRequest, context: Any
    ) -> pb.DeleteClusterNameResponse:
        """Delete a cluster's name."""
        name = await self._app.ask(ClusterName, parse_registry.delete_cluster_name_from_proto(request))
        return pb.DeleteClusterNameResponse(cluster_name=convert_registry.cluster_name_to_proto(name))

    async def ListClusterNames(self, request: pb.ListClusterNamesRequest, context: Any) -> pb.ListClusterNamesResponse:
        """List names of clusters."""
        found = [each for each in (await self._read(request)).names.all() if request.alias in ("", each.alias)]
        page, following = _page(found, request, convert_registry.cluster_name_to_proto)
        return pb.ListClusterNamesResponse(cluster_names=page, next_page_token=following, **self._standing())

    async def SetPolicy(self, request: pb.SetPolicyRequest, context: Any) -> pb.SetPolicyResponse:
        """Write the policy of a scope."""
        policy = await self._app.ask(Policy, parse_registry.set_policy_from_proto(request))
        return pb.SetPolicyResponse(policy=convert_registry.policy_to_proto(policy))

    async def DeletePolicy(self, request: pb.DeletePolicyRequest, context: Any) -> pb.DeletePolicyResponse:
        """Delete the policy of a scope."""
        policy = await self._app.ask(Policy, parse_registry.delete_policy_from_proto(request))
        return pb.DeletePolicyResponse(policy=convert_registry.policy_to_proto(policy))

    async def ListPolicies(self, request: pb.ListPoliciesRequest, context: Any) -> pb.ListPoliciesResponse:
        """List policies."""
        registry = await self._read(request)
        page, following = _page(registry.policies.all(), request, convert_registry.policy_to_proto)
        return pb.ListPoliciesResponse(
            policies=page, next_page_token=following, policy_revision=registry.policy_revision, **self._standing()
        )

    async def SetSetting(self, request: pb.SetSettingRequest, context: Any) -> pb.SetSettingResponse:
        """Write a setting."""
        setting = await self._app.ask(Setting, parse_registry.set_setting_from_proto(request))
        return pb.SetSettingResponse(setting=convert_registry.setting_to_proto(setting))

    async def DeleteSetting(self, request: pb.DeleteSettingRequest, context: Any) -> pb.DeleteSettingResponse:
        """Delete a setting."""
        setting = await self._app.ask(Setting, parse_registry.delete_setting_from_proto(request))
        return pb.DeleteSettingResponse(setting=convert_registry.setting_to_proto(setting))

    async def ListSettings(self, request: pb.ListSettingsRequest, context: Any) -> pb.ListSettingsResponse:
        """List settings."""
        page, following = _page((await self._read(request)).settings.all(), request, convert_registry.setting_to_proto)
        return pb.ListSettingsResponse(settings=page, next_page_token=following, **self._standing())

    async def WatchRegistry(
        self, request: pb.WatchRegistryRequest, context: Any
    ) -> AsyncIterator[pb.WatchRegistryResponse]:
        """Stream the registry."""
        first = True
        async for look in watch_registry(self._app.loop):
            staleness = convert.nanoseconds_to_proto(self._app.staleness_ns())
            changed = chunks([convert_registry.item_to_proto(item) for item in look.changed])
            removed = chunks([convert_registry.item_to_proto(item) for item in look.removed])
            # One side is usually empty: an empty chunk carries the other side's first.
            parts = list(itertools.zip_longest(changed, removed, fillvalue=()))
            for number, (new, gone) in enumerate(parts, start=1):
                yield pb.WatchRegistryResponse(
                    revision=look.revision,
                    changed=new,
                    removed=gone,
                    complete=not first or number == len(parts),
                    policy_revision=look.policy_revision,
                    staleness=staleness,
                )
            first = False

    async def _read(self, request: _List) -> Registry:
        linearizable = request.consistency == pb.READ_CONSISTENCY_LINEARIZABLE
        return await self._reader.read(linearizable=linearizable, min_index=request.min_index)

    def _standing(self) -> dict[str, Any]:
        """Return what every list says about itself; no await lies between it and what was read."""
        return {"index": self._reader.index, "staleness": convert.nanoseconds_to_proto(self._app.staleness_ns())}


def _page(items: Sequence[ItemT], request: _List, to_proto: Callable[[ItemT], MessageT]) -> tuple[list[MessageT], str]:
    page, following = page_of(items, _key_of, request.page_size, request.page_token)
    return [to_proto(item) for item in page], following


def _key_of(item: Item) -> tuple[str, ...]:
    return item.key

"""`primacy rule`: how instances are to be treated when a successor is chosen."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Annotated

import typer
from primacy.consensus.v1 import registry_pb2 as pb
from primacy.topology.v1 import topology_pb2

from services.ctl.api import REGISTRY
from services.ctl.arguments import RequestIdOption, parse_endpoint, parse_optional_span
from services.ctl.client import Suite
from services.ctl.commands.registry.asking import list_all, origin
from services.ctl.commands.registry.options import (
    ExpiryOption,
    FreshOption,
    InstanceArgument,
    OnlyInstanceArgument,
    OwnerOption,
    ReasonOption,
)
from services.ctl.commands.registry.showing import show_item, show_items
from services.ctl.session import (
    DEFAULT_NODES,
    DEFAULT_TIMEOUT,
    NodesOption,
    Output,
    OutputOption,
    Session,
    TimeoutOption,
)
from services.ctl.views.registry import rule_lines

app = typer.Typer(name="rule", help="Whom to prefer as a successor, whom never to take.", no_args_is_help=True)


class Rule(enum.StrEnum):
    """What may be asked for."""

    PREFER = "prefer"
    NEUTRAL = "neutral"
    PREFER_NOT = "prefer-not"
    MUST_NOT = "must-not"

    @property
    def value_on_the_wire(self) -> topology_pb2.PromotionRule.ValueType:
        """Return it as requests have it."""
        return topology_pb2.PromotionRule.Value(f"PROMOTION_RULE_{self.name}")


@app.command("set")
def set_rule(
    instance: InstanceArgument,
    rule: Annotated[Rule, typer.Argument(metavar="RULE", help="prefer, neutral, prefer-not or must-not.")],
    span: ExpiryOption = "",
    owner: OwnerOption = "",
    reason: ReasonOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Set the rule of an instance."""
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)
    endpoint, duration = parse_endpoint(instance), parse_optional_span(span)

    async def change(suite: Suite) -> pb.InstancePromotionRule:
        request = pb.SetPromotionRuleRequest(
            instance=endpoint, rule=rule.value_on_the_wire, expire_after=duration, **common
        )
        return (await suite.leader(REGISTRY.call(lambda stub: stub.SetPromotionRule, request))).promotion_rule

    show_item(session, change, rule_lines)


@app.command()
def delete(
    instance: InstanceArgument,
    owner: OwnerOption = "",
    reason: ReasonOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Delete the rule of an instance. Code 3 when it has none."""
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)
    endpoint = parse_endpoint(instance)

    async def change(suite: Suite) -> pb.InstancePromotionRule:
        request = pb.DeletePromotionRuleRequest(instance=endpoint, **common)
        return (await suite.leader(REGISTRY.call(lambda stub: stub.DeletePromotionRule, request))).promotion_rule

    show_item(session, change, rule_lines, "deleted")


@app.command("list")
def show(
    instance: OnlyInstanceArgument = "",
    fresh: FreshOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List promotion rules."""
    session = Session.of(nodes, output, timeout)
    asked = parse_endpoint(instance) if instance else None

    async def listed(suite: Suite) -> Sequence[pb.InstancePromotionRule]:
        request = pb.ListPromotionRulesRequest(instance=asked)
        return (await list_all(suite, lambda stub: stub.ListPromotionRules, request, fresh=fresh)).promotion_rules

    show_items(session, "promotion_rules", listed, rule_lines)

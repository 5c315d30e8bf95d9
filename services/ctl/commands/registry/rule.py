"""`primacy rule`: how instances are to be treated when a successor is chosen."""

from __future__ import annotations

import enum
from typing import Annotated

import typer
from primacy.consensus.v1 import registry_pb2 as pb
from primacy.topology.v1 import topology_pb2

from services.ctl.arguments import parse_endpoint
from services.ctl.client import Suite
from services.ctl.commands.registry.asking import (
    FreshOption,
    OwnerOption,
    ReasonOption,
    RequestIdOption,
    ask_leader,
    consistency,
    list_all,
    origin,
    parse_span,
    stub,
)
from services.ctl.failure import Exit
from services.ctl.session import (
    DEFAULT_NODES,
    DEFAULT_TIMEOUT,
    NodesOption,
    Output,
    OutputOption,
    Session,
    TimeoutOption,
    run,
)
from services.ctl.text import line
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
    instance: Annotated[str, typer.Argument(metavar="HOST:PORT")],
    rule: Annotated[Rule, typer.Argument(metavar="RULE", help="prefer, neutral, prefer-not or must-not.")],
    span: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long; default: until deleted.")] = "",
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
    endpoint, duration = parse_endpoint(instance), parse_span(span)

    async def work(suite: Suite) -> Exit:
        request = pb.SetPromotionRuleRequest(
            instance=endpoint, rule=rule.value_on_the_wire, expire_after=duration, **common
        )
        done = await ask_leader(
            suite, lambda channel, timeout_s: stub(channel).SetPromotionRule(request, timeout=timeout_s)
        )
        session.show(lambda: rule_lines([done.promotion_rule]), done.promotion_rule)
        return Exit.OK

    run(session, work)


@app.command()
def delete(
    instance: Annotated[str, typer.Argument(metavar="HOST:PORT")],
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

    async def work(suite: Suite) -> Exit:
        request = pb.DeletePromotionRuleRequest(instance=endpoint, **common)
        done = await ask_leader(
            suite, lambda channel, timeout_s: stub(channel).DeletePromotionRule(request, timeout=timeout_s)
        )
        session.show(lambda: [line("deleted: ", *rule_lines([done.promotion_rule]))], done.promotion_rule)
        return Exit.OK

    run(session, work)


@app.command("list")
def show(
    instance: Annotated[str, typer.Argument(metavar="[HOST:PORT]", help="Default: all.")] = "",
    fresh: FreshOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List promotion rules."""
    session = Session.of(nodes, output, timeout)
    asked = parse_endpoint(instance) if instance else None

    async def work(suite: Suite) -> Exit:
        pages = await list_all(
            suite,
            lambda token: (
                lambda channel, timeout_s: stub(channel).ListPromotionRules(
                    pb.ListPromotionRulesRequest(
                        page_size=1000, page_token=token, consistency=consistency(fresh=fresh), instance=asked
                    ),
                    timeout=timeout_s,
                )
            ),
            fresh=fresh,
        )
        found = [each for page in pages for each in page.promotion_rules]
        session.show(lambda: rule_lines(found), {"promotion_rules": found})
        return Exit.OK

    run(session, work)

"""`primacy policy`: what may be done, and at what price."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Annotated

import typer
from primacy.consensus.v1 import registry_pb2 as pb

from services.ctl.api import REGISTRY
from services.ctl.arguments import RequestIdOption, names_instance, parse_endpoint, parse_optional_span
from services.ctl.client import Suite
from services.ctl.commands.registry.asking import list_all, origin, resolve_cluster
from services.ctl.commands.registry.options import (
    ExpiryOption,
    FreshOption,
    OwnerOption,
    ReasonOption,
    WhyOption,
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
from services.ctl.views.registry import policy_lines

ScopeArgument = Annotated[
    str, typer.Argument(metavar="SCOPE", help="fleet, a cluster (its id or exact alias), or HOST:PORT.")
]
app = typer.Typer(name="policy", help="What automation may do where, at what price.", no_args_is_help=True)


class Mode(enum.StrEnum):
    """What automation may do."""

    OBSERVE = "observe"
    ADVISE = "advise"
    ACT = "act"


class Loss(enum.StrEnum):
    """Which candidates may be promoted."""

    LOSSLESS = "lossless"
    BOUNDED = "bounded"
    AVAILABILITY_FIRST = "availability-first"


class Without(enum.StrEnum):
    """What happens while too few observers agree."""

    WAIT = "wait"
    ACT = "act"


@app.command("set")
def set_policy(
    scope: ScopeArgument,
    reason: WhyOption,
    mode: Annotated[Mode | None, typer.Option(help="What automation may do.")] = None,
    loss: Annotated[Loss | None, typer.Option(help="Which candidates may be promoted.")] = None,
    max_lost: Annotated[int | None, typer.Option(min=0, help="Transactions that `bounded` may lose.")] = None,
    fence: Annotated[
        bool | None, typer.Option("--fence/--no-fence", help="Whether the former primary must be fenced first.")
    ] = None,
    observers: Annotated[int | None, typer.Option(min=1, help="Nodes that must see a primary as dead.")] = None,
    without: Annotated[Without | None, typer.Option(help="What happens while fewer do.")] = None,
    block_period: Annotated[str, typer.Option(metavar="DURATION", help="Span after a recovery without another.")] = "",
    span: ExpiryOption = "",
    owner: OwnerOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Set the policy of a scope; replaces the one it has. What is not given is as the wider scope says.

    Code 2 when it contradicts itself, or what holds together with it.
    """
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)
    block, duration = parse_optional_span(block_period), parse_optional_span(span)

    async def change(suite: Suite) -> pb.Policy:
        policy = await _policy_of(suite, scope)
        policy.MergeFrom(
            pb.Policy(
                mode=pb.Policy.Mode.Value(f"MODE_{mode.name if mode else 'UNSPECIFIED'}"),
                loss_rule=pb.Policy.LossRule.Value(f"LOSS_RULE_{loss.name if loss else 'UNSPECIFIED'}"),
                max_lost_transactions=max_lost,
                fence_required=fence,
                min_observers=observers,
                without_observers=pb.Policy.WithoutObservers.Value(
                    f"WITHOUT_OBSERVERS_{without.name if without else 'UNSPECIFIED'}"
                ),
                block_period=block,
            )
        )
        request = pb.SetPolicyRequest(policy=policy, expire_after=duration, **common)
        return (await suite.leader(REGISTRY.call(lambda stub: stub.SetPolicy, request))).policy

    show_item(session, change, policy_lines)


@app.command()
def delete(
    scope: ScopeArgument,
    owner: OwnerOption = "",
    reason: ReasonOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Delete the policy of a scope: the wider one holds again. Code 3 when it has none."""
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)

    async def change(suite: Suite) -> pb.Policy:
        request = pb.DeletePolicyRequest(policy=await _policy_of(suite, scope), **common)
        return (await suite.leader(REGISTRY.call(lambda stub: stub.DeletePolicy, request))).policy

    show_item(session, change, policy_lines, "deleted")


@app.command("list")
def show(
    fresh: FreshOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List policies."""
    session = Session.of(nodes, output, timeout)

    async def listed(suite: Suite) -> Sequence[pb.Policy]:
        request = pb.ListPoliciesRequest()
        return (await list_all(suite, lambda stub: stub.ListPolicies, request, fresh=fresh)).policies

    show_items(session, "policies", listed, policy_lines)


async def _policy_of(suite: Suite, scope: str) -> pb.Policy:
    """Return a policy that says nothing but where it holds."""
    if scope == "fleet":
        return pb.Policy(fleet=True)
    if names_instance(scope):
        return pb.Policy(instance=parse_endpoint(scope))
    return pb.Policy(cluster_id=await resolve_cluster(suite, scope))

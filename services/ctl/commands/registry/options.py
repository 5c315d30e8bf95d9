"""Arguments and options that several commands of the registry have."""

from __future__ import annotations

from typing import Annotated

import typer

TargetArgument = Annotated[
    str, typer.Argument(metavar="TARGET", help="HOST:PORT, or a cluster: its id or exact alias.")
]
OnlyTargetArgument = Annotated[str, typer.Argument(metavar="[TARGET]", help="HOST:PORT, or a cluster; default: all.")]
InstanceArgument = Annotated[str, typer.Argument(metavar="HOST:PORT")]
OnlyInstanceArgument = Annotated[str, typer.Argument(metavar="[HOST:PORT]", help="Default: all.")]
ClusterArgument = Annotated[str, typer.Argument(metavar="CLUSTER", help="Its id or exact alias.")]
ItemNameArgument = Annotated[str, typer.Argument(metavar="NAME")]

ExpiryOption = Annotated[str, typer.Option("--for", metavar="DURATION", help="How long; default: until deleted.")]
OwnerOption = Annotated[str, typer.Option(help="Who wants it; default: you, on this machine.")]
ReasonOption = Annotated[str, typer.Option(help="Why, for whoever reads it later.")]
WhyOption = Annotated[str, typer.Option("--reason", help="Why; required, for whoever finds it at night.")]
FreshOption = Annotated[bool, typer.Option("--fresh", help="The newest committed state; needs a quorum.")]

"""Options that several commands of the group have."""

from __future__ import annotations

from typing import Annotated

import typer

MemberArgument = Annotated[str, typer.Argument(metavar="MEMBER", help="A member: its name or its id.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only tell what would happen.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Go on although it looks dangerous; the refusal says why.")]

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of its node, as in its certificate.")]
IdOption = Annotated[
    int, typer.Option("--id", min=0, help="Its member_id, never used before. Default: drawn, and shown.")
]
RaftOption = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where its peers reach it.")]
ApiOption = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where its API is.")]
RecoveryOption = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the recovery of its node is.")]
SiteOption = Annotated[str, typer.Option(help="Its data centre.")]
PreferenceOption = Annotated[int, typer.Option(min=0, max=100, help="Who tends to lead; 0 votes and never leads.")]

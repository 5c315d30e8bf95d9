"""Running a command of the registry and showing what it wrote or found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from services.ctl.client import Suite
from services.ctl.failure import Exit
from services.ctl.session import Session, run
from services.ctl.text import Line, line

ItemT = TypeVar("ItemT", bound=Message)
Lines = Callable[[Sequence[ItemT]], list[Line]]
"""Returns one line per item."""


def show_item(
    session: Session, change: Callable[[Suite], Awaitable[ItemT]], lines: Lines[ItemT], verb: str = ""
) -> None:
    """Make a change and show the item as it is now.

    Args:
        session: Whom to ask and how to answer.
        change: Makes it and returns the item.
        lines: Its view.
        verb: What has become of it, for an item that is no more: `deleted`.
    """

    async def work(suite: Suite) -> Exit:
        item = await change(suite)
        session.show(lambda: [line(f"{verb}: ", *lines([item]))] if verb else lines([item]), item)
        return Exit.OK

    run(session, work)


def show_items(
    session: Session, name: str, listed: Callable[[Suite], Awaitable[Sequence[ItemT]]], lines: Lines[ItemT]
) -> None:
    """List items and show them.

    Args:
        session: Whom to ask and how to answer.
        name: What they are called in JSON.
        listed: Returns them.
        lines: Their view.
    """

    async def work(suite: Suite) -> Exit:
        items = await listed(suite)
        session.show(lambda: lines(items), {name: items})
        return Exit.OK

    run(session, work)

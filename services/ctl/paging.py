"""Lists, whole: all of their pages."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, Self, TypeVar

PAGE_SIZE: Final = 1000
"""The longest page a service answers."""


class ListRequest(Protocol):
    """What all requests that list have in common."""

    page_size: int
    page_token: str


class Page(Protocol):
    """What all answers to them have in common."""

    next_page_token: str

    def MergeFrom(self, other_msg: Self, /) -> None:  # noqa: N802  Messages have it under that name.
        """Append the other's items, as messages do."""


RequestT = TypeVar("RequestT", bound=ListRequest)
PageT = TypeVar("PageT", bound=Page)


async def all_pages(ask: Callable[[RequestT], Awaitable[PageT]], request: RequestT) -> PageT:
    """Return all pages of a list as one.

    Args:
        ask: Returns the page a request asks for.
        request: What to list; its size and token of a page do not matter.
    """
    asked = copy.deepcopy(request)
    asked.page_size, asked.page_token = PAGE_SIZE, ""
    whole = await ask(asked)
    while whole.next_page_token:
        asked.page_token, whole.next_page_token = whole.next_page_token, ""
        whole.MergeFrom(await ask(asked))
    return whole

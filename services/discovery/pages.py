"""Pages of a sorted list, by a token that names the last item of the page before: robust against changes between."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

ItemT = TypeVar("ItemT")


def page_of(
    items: Sequence[ItemT], order: Callable[[ItemT], tuple[str, ...]], size: int, token: str
) -> tuple[Sequence[ItemT], str]:
    """Return one page and the token of the next one, empty on the last page.

    Args:
        items: All items, sorted by `order`.
        order: What the items are sorted by, unique.
        size: Longest page.
        token: Empty for the first page.

    Raises:
        ValueError: Not a token of ours.
    """
    after = _parse(token)
    rest = [item for item in items if after is None or order(item) > after]
    page = rest[:size]
    return page, _format(order(page[-1])) if len(rest) > size else ""


def _format(order: tuple[str, ...]) -> str:
    return base64.urlsafe_b64encode(json.dumps(order).encode()).decode()


def _parse(token: str) -> tuple[str, ...] | None:
    if not token:
        return None
    try:
        parts = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, UnicodeError, json.JSONDecodeError):
        raise ValueError("not a page token") from None
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValueError("not a page token")
    return tuple(parts)

"""Pages of a list: a token says after which place in the order to go on, so changes between two pages shift nothing."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from services.shared.runtime.errors import InvalidField

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1000

T = TypeVar("T")
Place = tuple[str | int, ...]
"""Where an item stands: smaller is earlier, and no two items stand at one place."""


def page_of(items: Sequence[T], place: Callable[[T], Place], size: int, token: str) -> tuple[Sequence[T], str]:
    """Return one page, and the token of the next one, empty on the last page.

    Args:
        items: All of them, in any order.
        place: What they are sorted by.
        size: `page_size` of the request; 0 takes the default, 100.
        token: `page_token` of the request; empty to begin.

    Raises:
        InvalidField: The size is above 1000, or the token is not one of this list.
    """
    if size > MAX_PAGE_SIZE:
        raise InvalidField("page_size", f"is not between 1 and {MAX_PAGE_SIZE}")
    rest = sorted(items, key=place)
    if token:
        after = _parse(token)
        try:
            rest = [item for item in rest if place(item) > after]
        except TypeError:
            raise _foreign() from None
    page = rest[: size or DEFAULT_PAGE_SIZE]
    return page, _format(place(page[-1])) if len(rest) > len(page) else ""


def _format(place: Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode()


def _parse(token: str) -> Place:
    try:
        parts = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _foreign() from None
    if not isinstance(parts, list) or not parts or not all(isinstance(part, str | int) for part in parts):
        raise _foreign()
    return tuple(parts)


def _foreign() -> InvalidField:
    return InvalidField("page_token", "is not a token of an earlier page of this list; begin again without it")

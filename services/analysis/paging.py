"""Pages of findings: a token says after which place in the order to go on, so changes between pages shift nothing."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Final

from services.analysis.model import Finding
from services.shared.runtime.errors import InvalidField

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1000

_Place = tuple[int, str, int]


def check_page_size(size: int) -> int:
    """Return the page size to use; 0 takes the default.

    Raises:
        InvalidField: More than 1000.
    """
    if size > MAX_PAGE_SIZE:
        raise InvalidField("page_size", f"is not between 1 and {MAX_PAGE_SIZE}")
    return size or DEFAULT_PAGE_SIZE


def write_token(place: _Place) -> str:
    """Return the opaque token that goes on after `place`."""
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode()


def read_token(token: str) -> _Place | None:
    """Return the place a token goes on after; None for the empty token, which begins.

    Raises:
        InvalidField: The token was not made here.
    """
    if not token:
        return None
    try:
        match json.loads(base64.b64decode(token, altchars=b"-_", validate=True)):
            case [int(replicas), str(host), int(port)]:
                return (replicas, host, port)
    except (binascii.Error, ValueError, RecursionError):
        pass
    raise InvalidField("page_token", "is not a token of an earlier page")


def cut_page(findings: Sequence[Finding], size: int, token: str) -> tuple[tuple[Finding, ...], str]:
    """Return one page and the token of the next, empty on the last.

    Args:
        findings: All, in list order.
        size: Longest page, at least 1.
        token: `next_page_token` of the page before; empty to begin.

    Raises:
        InvalidField: The token was not made here.
    """
    after = read_token(token)
    rest = findings if after is None else [finding for finding in findings if finding.place > after]
    page = tuple(rest[:size])
    return page, write_token(page[-1].place) if len(rest) > size else ""

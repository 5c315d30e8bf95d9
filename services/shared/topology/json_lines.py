"""Which line of a JSON text each value stands in, so that what is wrong with one can be shown to people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

Path = tuple[str | int, ...]
"""Where a value stands: names of members and, in lists, places from 0."""

_WORD: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


def places(text: str) -> Iterator[tuple[Path, int]]:
    """Yield the path and the line of every value of a valid JSON text; of a member, the line of its name."""
    stack: list[str | int] = []  # Name or place within each container that is open.
    opened: list[str] = []
    line, at, expects_name = 1, 0, False
    for match in _WORD.finditer(text):
        line += text.count("\n", at, match.start())
        at = match.start()
        word = match[0]
        if word in "}]":
            opened.pop()
            stack.pop()
            expects_name = False
        elif word == ",":
            last = stack[-1]
            expects_name = opened[-1] == "{"
            if isinstance(last, int):
                stack[-1] = last + 1
        elif word == ":":
            expects_name = False
        elif expects_name:
            stack[-1] = json.loads(word)
            yield tuple(stack), line
        else:
            if not stack or isinstance(stack[-1], int):
                yield tuple(stack), line
            if word in "{[":
                opened.append(word)
                stack.append("" if word == "{" else 0)
                expects_name = word == "{"

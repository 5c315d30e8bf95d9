"""Styled text as values: what the views make and the renderer prints."""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


class Mood(enum.Enum):
    """What a piece of text means; the renderer picks the colour."""

    PLAIN = "plain"
    STRONG = "strong"
    DIM = "dim"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text with one mood."""

    text: str
    mood: Mood = Mood.PLAIN


Line = tuple[Span, ...]
Cell = str | Span | Line


def line(*parts: Cell) -> Line:
    """Return one line made of plain strings, spans and other lines."""
    return tuple(span for part in parts for span in _spans(part))


def _spans(part: Cell) -> Line:
    if isinstance(part, str):
        return (Span(part),)
    return (part,) if isinstance(part, Span) else part


def strong(text: str) -> Span:
    """Return text that stands out."""
    return Span(text, Mood.STRONG)


def dim(text: str) -> Span:
    """Return text that stays in the background."""
    return Span(text, Mood.DIM)


def good(text: str) -> Span:
    """Return text about something that is as it should be."""
    return Span(text, Mood.GOOD)


def warn(text: str) -> Span:
    """Return text about something to look at."""
    return Span(text, Mood.WARN)


def bad(text: str) -> Span:
    """Return text about something that is wrong."""
    return Span(text, Mood.BAD)


def plain(text: Line) -> str:
    """Return a line without its moods, trailing blanks removed."""
    return "".join(span.text for span in text).rstrip()


def width(text: Line) -> int:
    """Return the number of characters of a line."""
    return sum(len(span.text) for span in text)


def indent(lines: Sequence[Line], by: int = 2) -> list[Line]:
    """Return the lines moved to the right by a number of blanks."""
    return [line(" " * by, text) for text in lines]


def columns(rows: Sequence[Sequence[Cell]], gap: int = 2) -> list[Line]:
    """Return rows as lines whose cells are aligned; the last cell of a row is never padded."""
    cells = [[line(cell) for cell in row] for row in rows]
    count = max((len(row) for row in cells), default=0)
    widths = [max((width(row[i]) for row in cells if i < len(row) - 1), default=0) for i in range(count)]
    return [_padded(row, widths, gap) for row in cells]


def _padded(row: Sequence[Line], widths: Sequence[int], gap: int) -> Line:
    *padded, last = row
    pads = (" " * (widths[i] - width(cell) + gap) for i, cell in enumerate(padded))
    return line(*(part for cell, pad in zip(padded, pads, strict=True) for part in (cell, pad)), last)


def fold(text: Line, limit: int, hang: int) -> list[Line]:
    """Return a line broken between words so that none is longer than `limit`, if its words allow it.

    Args:
        text: The line.
        limit: Most characters a line may have.
        hang: Blanks before all lines but the first.
    """
    lines: list[list[Span]] = [[]]
    used = 0
    for word in _words(text):
        if used + len(word.text.rstrip()) > limit and used > hang:
            lines.append([Span(" " * hang)])
            used, word = hang, Span(word.text.lstrip(), word.mood)
        lines[-1].append(word)
        used += len(word.text)
    return [tuple(content) for content in lines]


def _words(text: Line) -> list[Span]:
    """Return a line as words, each with the blanks after it."""
    return [Span(word, span.mood) for span in text for word in re.findall(r"\s*\S+\s*|\s+", span.text)]


def printable(text: str) -> str:
    """Return text that cannot move the cursor, recolour or reorder a terminal: servers' texts are not ours.

    Line breaks and tabs become one blank; other control and format characters become `?`.
    """
    return "".join(_safe(character) for character in text)


def _safe(character: str) -> str:
    if character in "\n\r\t":
        return " "
    return "?" if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} else character

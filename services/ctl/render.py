"""The only module that knows rich: prints lines with their moods, and draws them as SVG."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from services.ctl.text import Line, Mood, printable

_STYLES: Final[Mapping[Mood, str]] = {
    Mood.PLAIN: "",
    Mood.STRONG: "bold",
    Mood.DIM: "dim",
    Mood.GOOD: "green",
    Mood.WARN: "yellow",
    Mood.BAD: "bold red",
}


class Renderer:
    """Prints lines; in colour when the file is a terminal and NO_COLOR is not set."""

    def __init__(self, file: TextIO | None = None, *, width: int | None = None, record: bool = False) -> None:
        """Make a renderer.

        Args:
            file: Where to print; None = standard output.
            width: Columns after which lines are broken; None = leave that to the terminal, so that a pipe gets them
                whole.
            record: Keep what is printed for `save_svg`.
        """
        self._console = Console(
            file=file or sys.stdout,
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=width is None,
            width=width,
            record=record,
        )

    def print(self, lines: Iterable[Line]) -> None:
        """Print lines, at once."""
        for content in lines:
            self._console.print(_styled(content))
        self._console.file.flush()

    def save_svg(self, path: Path, title: str) -> None:
        """Write everything printed so far as an SVG picture. Needs `record`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._console.save_svg(str(path), title=title)


def _styled(content: Line) -> Text:
    return Text.assemble(*((printable(span.text), _STYLES[span.mood]) for span in content))

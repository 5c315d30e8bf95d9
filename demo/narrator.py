"""Says what happens, in short lines with colours."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from services.ctl.render import Renderer
from services.ctl.text import Cell, Line, bad, dim, fold, good, indent, line, strong

COLUMNS: Final = 100
_HANG: Final = 12


class Narrator:
    """Prints stages, and what happens in each."""

    def __init__(self) -> None:
        self._renderer = Renderer(width=COLUMNS, record=True)
        self._began = time.monotonic()

    def stage(self, title: str) -> None:
        """Begin a stage: what is going to happen, and how long the demo has run."""
        elapsed = time.monotonic() - self._began
        self._renderer.print([line(), line(good("==> "), strong(title), dim(f"  [{elapsed:.0f} s]"))])

    def say(self, *parts: Cell) -> None:
        """Tell one thing of the stage."""
        self.show([line(*parts)])

    def show(self, lines: Iterable[Line]) -> None:
        """Show a block of the stage; what is too long goes on below, further to the right."""
        for content in indent(list(lines), by=2):
            self._renderer.print(fold(content, COLUMNS, _HANG))

    def failed(self, why: str) -> None:
        """Say why the demo ends here."""
        self._renderer.print([line(), line(bad("the demo failed: "), why)])

    def save_svg(self, path: Path) -> None:
        """Draw everything that was shown as a picture."""
        self._renderer.save_svg(path, "primacy")

"""The renderer: no escape codes for a pipe, none from a server, ever."""

from __future__ import annotations

import io
from pathlib import Path

from services.ctl.render import Renderer
from services.ctl.text import bad, line, strong


def rendered(*parts: str) -> str:
    """Return what is printed of a line to something that is no terminal."""
    file = io.StringIO()
    Renderer(file).print([line(*parts)])
    return file.getvalue()


def test_pipe_gets_plain_text() -> None:
    file = io.StringIO()

    Renderer(file).print([line(strong("a"), " ", bad("b"))])

    assert file.getvalue() == "a b\n"


def test_long_lines_stay_whole() -> None:
    assert rendered("x" * 500) == "x" * 500 + "\n"


def test_brackets_are_not_markup() -> None:
    assert rendered("[bold]not[/bold] [0s,ok] :smile:") == "[bold]not[/bold] [0s,ok] :smile:\n"


def test_server_text_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in rendered("error: \x1b[31mred")


def test_picture_has_the_text(tmp_path: Path) -> None:
    renderer = Renderer(io.StringIO(), width=80, record=True)

    renderer.print([line(bad("DeadMaster"))])
    renderer.save_svg(tmp_path / "made" / "demo.svg", "primacy")

    picture = (tmp_path / "made" / "demo.svg").read_text(encoding="utf-8")
    assert picture.startswith("<svg")
    assert "DeadMaster" in picture

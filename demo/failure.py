"""How the demo fails."""

from __future__ import annotations


class StoryFailed(Exception):
    """The suite did not do what it promises; the text says what is missing."""

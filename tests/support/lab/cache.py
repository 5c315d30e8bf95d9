"""Where installed servers and prepared data directories are kept between runs."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_REPOSITORY: Final = Path(__file__).resolve().parents[3]
_VARIABLE: Final = "PRIMACY_LAB_CACHE"


def cache_directory() -> Path:
    """Return the lab's cache, made if absent.

    `PRIMACY_LAB_CACHE` names it; else it is `.cache/lab` in the repository, or `~/.cache/primacy-lab` when the
    repository is read-only.
    """
    named = os.environ.get(_VARIABLE)
    if named:
        chosen = Path(named).resolve()
    elif os.access(_REPOSITORY, os.W_OK):
        chosen = _REPOSITORY / ".cache" / "lab"
    else:
        chosen = Path.home() / ".cache" / "primacy-lab"
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen


@contextmanager
def made_once(target: Path) -> Iterator[Path | None]:
    """Let one process make `target`; it shows up whole or not at all.

    Yields a scratch directory to fill, which becomes `target` at the end of the block, or None when `target` is there
    already. Other processes wait meanwhile.
    """
    if target.exists():
        yield None
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():  # Made by the one we waited for.
            yield None
            return
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            yield scratch
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

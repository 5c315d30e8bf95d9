"""The data directory: one suite each, and one `primacy up` at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from services.ctl.failure import CtlError, Exit
from services.ctl.up.layout import HOST, ProcessSpec, SuiteOptions

_SHAPE_FILE: Final = "suite.json"
_LOCK_FILE: Final = "lock"


def default_data() -> Path:
    """Return where a suite keeps its data unless told otherwise: `~/.local/state/primacy`, as XDG has it."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if state else Path.home() / ".local" / "state") / "primacy"


@contextlib.contextmanager
def claimed(options: SuiteOptions) -> Iterator[None]:
    """Hold the data directory for this process; make it when it is not there.

    Raises:
        CtlError: It cannot be written, another process holds it, or it belongs to a suite of another shape.
    """
    try:
        options.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (options.data / _LOCK_FILE).open("a")
    except OSError as error:
        raise CtlError(
            f"data directory {options.data}: {error.strerror}; choose another with --data", Exit.REFUSED
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            message = f"another `primacy up` uses {options.data}; stop it, or choose another with --data"
            raise CtlError(message, Exit.REFUSED) from None
        _check_shape(options)
        yield


def _check_shape(options: SuiteOptions) -> None:
    """Remember the suite's members; a vote given as one group must not count in another.

    Raises:
        CtlError: The directory belongs to a suite with other members.
    """
    file = options.data / _SHAPE_FILE
    shape = {"nodes": options.node_count, "base_port": options.base_port}
    if not file.exists():
        file.write_text(json.dumps(shape) + "\n", encoding="utf-8")
        return
    kept = _kept_shape(file)
    if kept != shape:
        words = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in kept.items())
        raise CtlError(
            f"{options.data} belongs to a suite started with {words or 'other members'}; "
            "start it like that, or choose another directory with --data",
            Exit.REFUSED,
        )


def _kept_shape(file: Path) -> dict[str, object]:
    """Return the members the directory was made for; empty when the file cannot be understood."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def check_ports(specs: Sequence[ProcessSpec]) -> None:
    """Make sure that all ports are free.

    Raises:
        CtlError: One is taken.
    """
    for spec in specs:
        for port in spec.ports:
            if not _free(port):
                message = f"port {port} of {spec.name} is taken; stop what listens there, or choose another --base-port"
                raise CtlError(message, Exit.REFUSED)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def check_password_file(path: Path | None) -> None:
    """Make sure that the file with the password can be read.

    Raises:
        CtlError: It cannot.
    """
    if path is None:
        return
    try:
        path.read_bytes()
    except OSError as error:
        raise CtlError(f"--mysql-password-file {path}: {error.strerror}", Exit.USAGE) from None

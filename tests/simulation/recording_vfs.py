"""A file system for SQLite that records what is written and synced: the default one with ears (21.2).

SQLite asks a *VFS* for files (https://sqlite.org/vfs.html). This one is a copy of the default with another `xOpen`,
which leaves the work to the default and replaces three methods of the files below directories that are listened to.
Syncs are only recorded: what a power cut leaves is computed, so nothing has to wait for a disk.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import Any, Final

from tests.contract.store.power_cut import Call

Listener = Callable[[Call], None]

_OPEN: Final = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_WRITE: Final = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE: Final = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC: Final = CFUNCTYPE(c_int, c_void_p, c_int)
_OK: Final = 0


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("version", c_int),
        ("file_size", c_int),
        ("max_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", c_void_p),
        ("others", c_void_p * 15),
    )


class _Methods(ctypes.Structure):
    _fields_ = (
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", c_void_p),
        ("truncate", c_void_p),
        ("sync", c_void_p),
        ("others", c_void_p * 13),
    )


class _File(ctypes.Structure):
    _fields_ = (("methods", c_void_p),)


class VfsMissing(Exception):
    """SQLite is built into Python in a way that hides its functions."""


class RecordingVfs:
    """The file system, registered with this process's SQLite for life."""

    def __init__(self) -> None:
        """Register it, beside the default.

        Raises:
            VfsMissing: SQLite cannot be reached.
        """
        try:
            self._library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
            find = self._library.sqlite3_vfs_find
        except (OSError, AttributeError) as error:
            raise VfsMissing(str(error)) from error
        find.restype = POINTER(_Vfs)
        self._default = find(None)
        self._listeners: dict[str, Listener] = {}
        self._paths: dict[int, str] = {}
        self._methods: dict[int, _Methods] = {}
        self._kept: list[Any] = []  # Called from C: must live as long as the process.
        self._vfs = _Vfs.from_buffer_copy(self._default.contents)
        self._vfs.name, self._vfs.next = b"recording", None
        self._vfs.open = self._callback(_OPEN, self._open)
        self._default_open = _OPEN(self._default.contents.open)
        self._register(ctypes.pointer(self._vfs), default=False)

    @contextmanager
    def listening(self, directory: Path, listener: Listener) -> Iterator[None]:
        """Let databases be opened that are recorded: the files below a directory, until `forget`."""
        self._listeners[f"{directory}/"] = listener
        self._register(ctypes.pointer(self._vfs), default=True)
        try:
            yield
        finally:
            self._register(self._default, default=True)

    def forget(self, directory: Path) -> None:
        """Record nothing below a directory any more."""
        self._listeners.pop(f"{directory}/", None)

    def _register(self, vfs: Any, *, default: bool) -> None:
        assert self._library.sqlite3_vfs_register(vfs, int(default)) == _OK

    def _callback(self, kind: Any, function: Callable[..., int]) -> int:
        made = kind(function)
        self._kept.append(made)
        return int(ctypes.cast(made, c_void_p).value or 0)

    def _open(self, _vfs: int, name: int | None, file: int, flags: int, out_flags: int | None) -> int:
        done = int(self._default_open(ctypes.cast(self._default, c_void_p).value, name, file, flags, out_flags))
        opened = _File.from_address(file)
        if done == _OK and name is not None and opened.methods:
            self._paths[file] = ctypes.string_at(name).decode()
            opened.methods = ctypes.addressof(self._recording(opened.methods))
        return done

    def _recording(self, address: int) -> _Methods:
        """Return methods of a kind of file, with those replaced that change something."""
        if address not in self._methods:
            methods = _Methods.from_buffer_copy(_Methods.from_address(address))
            write, truncate = _WRITE(methods.write), _TRUNCATE(methods.truncate)

            def on_write(file: int, data: int, size: int, offset: int) -> int:
                done = int(write(file, data, size, offset))
                return self._record(done, file, "w", offset, data, size)

            def on_truncate(file: int, size: int) -> int:
                return self._record(int(truncate(file, size)), file, "t", size)

            def on_sync(file: int, _flags: int) -> int:
                return self._record(_OK, file, "s", 0)

            methods.write = self._callback(_WRITE, on_write)
            methods.truncate = self._callback(_TRUNCATE, on_truncate)
            methods.sync = self._callback(_SYNC, on_sync)
            self._methods[address] = methods
        return self._methods[address]

    def _record(self, done: int, file: int, op: str, offset: int, data: int = 0, size: int = 0) -> int:
        if done != _OK:
            return done
        path = self._paths[file]
        listener = self._listeners.get(path[: path.rfind("/") + 1])
        if listener is not None:
            listener(Call(op, path, offset, ctypes.string_at(data, size) if size else b""))
        return _OK


@functools.cache
def recording_vfs() -> RecordingVfs:
    """Return the file system of this process.

    Raises:
        VfsMissing: SQLite cannot be reached.
    """
    return RecordingVfs()


def can_record() -> bool:
    """Tell whether SQLite can be reached in this process."""
    try:
        recording_vfs()
    except VfsMissing:
        return False
    return True

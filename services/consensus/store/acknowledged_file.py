"""What a member said it has, kept outside its database: a database behind it has forgotten something (14.6).

A small file holds the term and the last durable index, and of which store. It is written after a commit that raises
either, and before one that truncates the log, so at every moment the database has at least what the file says. A
database that has less is an older copy, or its disk lied about an fsync; one with another incarnation is a new one.

Two records take turns, each in a sector of its own, so that a power cut can tear only the one being written.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import google_crc32c

EVERY: Final = 1_000
"""Entries by which the file may be behind."""
_SECTOR: Final = 4096
_RECORD_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What a member may have told others.

    Attributes:
        member_id: Whose it is.
        incarnation: Of its store.
        term: Newest durable term.
        index: Last durable log index, or one up to a thousand lower.
    """

    member_id: int
    incarnation: str
    term: int = 0
    index: int = 0


class AcknowledgedFile:
    """The file. Nothing is written before `begin`."""

    def __init__(self, path: Path) -> None:
        """Name the file; its directory exists."""
        self._path: Final = path
        self._saved: Acknowledged | None = None
        self._sequence = 0
        self._descriptor = -1

    def forgotten(self, found: Acknowledged) -> str:
        """Return what a store has forgotten that is as `found`; empty = nothing as far as the file tells.

        Raises:
            OSError: The file cannot be read.
        """
        records = self._records()
        if records is None:
            return f"{self._path} is damaged: what this member acknowledged is not known"
        if not records:
            return ""
        self._sequence, known = records[-1]
        if known.member_id != found.member_id:
            return ""  # Another member was here; the operator gave its place to this one.
        if known.incarnation != found.incarnation:
            return f"the store is another one: {found.incarnation}, and it was {known.incarnation}"
        if known.term > found.term:
            return f"the store forgot term {known.term}, it is at {found.term}"
        if known.index > found.index:
            return f"the store forgot entries that were acknowledged: {found.index + 1} to at least {known.index}"
        return ""

    def begin(self, present: Acknowledged) -> None:
        """Say what the store has, from now on; the directory exists.

        Raises:
            OSError: The file cannot be made or written.
        """
        if self._descriptor < 0:
            if not self._path.exists():
                self._make(present)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        self._save(present)

    def advance(self, term: int, index: int) -> None:
        """Follow a commit: at a new term, and every thousand entries.

        Raises:
            OSError: The record is not durable.
        """
        saved = self._saved
        assert saved is not None, "begin comes first"
        if term > saved.term or index >= saved.index + EVERY:
            self._save(replace(saved, term=term, index=index))

    def take_back(self, index: int) -> None:
        """Precede a commit that leaves the log shorter than was said.

        Raises:
            OSError: The record is not durable.
        """
        saved = self._saved
        assert saved is not None, "begin comes first"
        if index < saved.index:
            self._save(replace(saved, index=index))

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _records(self) -> list[tuple[int, Acknowledged]] | None:
        """Return the readable records, the newest last; None when there is a file without any."""
        if not self._path.exists():
            return []
        content = self._path.read_bytes()
        found = [_parse(content[start : start + _RECORD_BYTES]) for start in (0, _SECTOR)]
        records = sorted((record for record in found if record is not None), key=lambda record: record[0])
        return records or None

    def _make(self, first: Acknowledged) -> None:
        """Make the file whole or not at all: one without a record would look damaged."""
        blank = self._path.with_name(self._path.name + ".new")
        with blank.open("wb") as file:
            file.write(_render(self._sequence, first).ljust(_SECTOR) + _render(self._sequence + 1, first))
            file.flush()
            os.fsync(file.fileno())
        blank.rename(self._path)
        self._sequence += 1
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _save(self, acknowledged: Acknowledged) -> None:
        self._sequence += 1
        os.pwrite(self._descriptor, _render(self._sequence, acknowledged), self._sequence % 2 * _SECTOR)
        os.fsync(self._descriptor)
        self._saved = acknowledged


def _render(sequence: int, acknowledged: Acknowledged) -> bytes:
    text = (
        f"{sequence} {acknowledged.member_id} {acknowledged.incarnation} {acknowledged.term} {acknowledged.index}"
    ).encode("ascii")
    return (b"%s %08x\n" % (text, google_crc32c.value(text))).ljust(_RECORD_BYTES)


def _parse(content: bytes) -> tuple[int, Acknowledged] | None:
    text, _, checksum = content.partition(b"\n")[0].rpartition(b" ")
    if not text or checksum != b"%08x" % google_crc32c.value(text):
        return None
    sequence, member_id, incarnation, term, index = text.decode("ascii").split(" ")
    return int(sequence), Acknowledged(int(member_id), incarnation, int(term), int(index))

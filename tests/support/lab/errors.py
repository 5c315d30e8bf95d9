"""What can go wrong in the lab; each text says what to do about it."""

from __future__ import annotations

from pathlib import Path


class LabError(Exception):
    """The lab cannot do what it was asked to."""


class ServerUnavailable(LabError):
    """No server of this kind is installed and none can be installed here."""

    def __init__(self, server: str, why: str, remedy: str) -> None:
        super().__init__(f"{server} can not be had: {why}. {remedy}")


class ServerFailed(LabError):
    """A server did not come up."""

    def __init__(self, name: str, what: str, error_log: Path) -> None:
        tail = "\n".join(_lines(error_log)[-12:])
        super().__init__(f"{name}: {what}; end of its error log:\n{tail}")
        self.port_taken = "Address already in use" in tail


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ["(none)"]

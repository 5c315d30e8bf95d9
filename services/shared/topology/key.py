"""Where an instance answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

DEFAULT_PORT: Final = 3306


@dataclass(frozen=True, slots=True, order=True)
class InstanceKey:
    """Where a mysqld answers. Orders by host, then port.

    Keys compare by their text: what comes from outside is made into one by `parse` or `of`.
    """

    host: str
    port: int

    @classmethod
    def of(cls, host: str, port: int) -> Self:
        """Return the key of a host in any spelling: names have no case, and may end in a dot (RFC 4343, RFC 1034)."""
        return cls(host.lower().removesuffix("."), port)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `host`, `host:port` or `[ipv6]:port`; the port defaults to 3306.

        Raises:
            ValueError: No host, or the port is not in 1..65535.
        """
        host, port = _split(text.strip())
        if host in ("", ".") or any(character.isspace() or character == "/" for character in host):
            raise ValueError(f"{text!r} is not host:port")
        if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise ValueError(f"{text!r} has no port between 1 and 65535")
        return cls.of(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":") or str(DEFAULT_PORT)
    if text.count(":") > 1:  # An IPv6 address without brackets: all of it is the host.
        return text, str(DEFAULT_PORT)
    host, separator, port = text.partition(":")
    return host, port if separator else str(DEFAULT_PORT)

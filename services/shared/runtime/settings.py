"""Settings: one frozen class per service, read from the environment once, in `__main__`."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Mapping
from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Final, Self, TypeVar

from pydantic import BeforeValidator, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

EXIT_CONFIG: Final = 78
"""Exit code of a process whose settings are wrong (sysexits.h, EX_CONFIG)."""
EXPORTERS: Final = "opentelemetry_traces_exporter"
"""Entry point by which exporters of spans are known."""

_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS: Final = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE: Final = re.compile(r"(\d+)(|KiB|MiB|GiB)")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")


def parse_duration(value: object) -> timedelta:
    """Parse `500ms`, `3s`, `1.5m`, `24h`; a bare number is refused, because its unit would be a guess.

    Raises:
        ValueError: Not a number with one of the units us, ms, s, m, h, d.
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(f"{value!r} is not a duration with a unit, such as 500ms or 3s")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def parse_size(value: object) -> int:
    """Parse `64KiB`, `16MiB`, `1GiB` and return bytes; a bare number is bytes.

    Raises:
        ValueError: Not a whole number with one of the units KiB, MiB, GiB.
    """
    match = _SIZE.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(f"{value!r} is not a size such as 64KiB or 16MiB")
    return int(match[1]) * _SIZE_UNITS[match[2]]


def parse_host_port(value: object) -> str:
    """Check `host:port` (`[::1]:50051` for IPv6) and return it unchanged.

    Raises:
        ValueError: Not of that form, or the port is not in 0..65535 (0 = any free port, for listeners).
    """
    text = str(value).strip()
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not host:port")
    return text


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
HostPort = Annotated[str, BeforeValidator(parse_host_port)]


def parse_exporter(value: object) -> str:
    """Check that an exporter of spans is installed, and return its name; empty = none is wanted.

    Raises:
        ValueError: It is not.
    """
    installed = entry_points(group=EXPORTERS).names
    if value and value not in installed:
        raise ValueError(f"no exporter of spans is called {value!r}; installed: {', '.join(sorted(installed))}")
    return str(value)


Exporter = Annotated[str, BeforeValidator(parse_exporter)]


def is_loopback(host_port: str) -> bool:
    """Return whether a listener at `host_port` is reachable from this machine only."""
    host = host_port.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class ServiceSettings(BaseSettings):
    """What every service can be told. Subclasses set `env_prefix` and add their own knobs."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    node: str = "node1"
    """Name of this node, for people and logs."""
    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""
    allow_plaintext: bool = False
    """Listen and connect off loopback without TLS: this is a staging network."""
    tls_cert_file: Path | None = None
    """Certificate chain of this node, PEM. Off loopback required, unless `allow_plaintext`."""
    tls_key_file: Path | None = None
    """Private key of the certificate, PEM."""
    tls_ca_file: Path | None = None
    """Authorities that peers' and clients' certificates must come from, PEM."""

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        parts = (self.tls_cert_file, self.tls_key_file, self.tls_ca_file)
        if any(parts) and not all(parts):
            raise ValueError("tls_cert_file, tls_key_file and tls_ca_file go together")
        return self

    @property
    def tls_enabled(self) -> bool:
        """Whether listeners and channels use TLS with client certificates."""
        return self.tls_cert_file is not None


SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def unknown_variables(kind: type[ServiceSettings], environ: Mapping[str, str]) -> list[str]:
    """Return the variables with the service's prefix that name no setting, sorted: most likely misspelt."""
    prefix = str(kind.model_config.get("env_prefix", ""))
    known = {f"{prefix}{name}".upper() for name in kind.model_fields}
    return sorted(name for name in environ if name.upper().startswith(prefix) and name.upper() not in known)


def load_settings(kind: type[SettingsT], environ: Mapping[str, str]) -> SettingsT:
    """Read settings from the environment; on a mistake say which variable is wrong and exit with code 78.

    Args:
        kind: The settings class of the service.
        environ: `os.environ`, which pydantic reads; passed for the check of unknown names.
    """
    unknown = unknown_variables(kind, environ)
    if unknown:
        sys.stderr.write(f"unknown settings: {', '.join(unknown)}; see {kind.__module__.replace('.', '/')}.py\n")
        sys.exit(EXIT_CONFIG)
    try:
        return kind()
    except ValidationError as error:
        prefix = str(kind.model_config.get("env_prefix", ""))
        for problem in error.errors(include_url=False, include_input=False, include_context=False):
            name = prefix + "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"setting {name}: {problem['msg']}\n")
        sys.exit(EXIT_CONFIG)


def read_secret(path: Path) -> str:
    """Return the secret in a file, without its trailing newline.

    Raises:
        OSError: The file cannot be read; the message names it, never its content.
    """
    return path.read_text(encoding="utf-8").rstrip("\n")

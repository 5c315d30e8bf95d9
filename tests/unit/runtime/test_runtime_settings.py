"""Settings: durations carry a unit, endpoints a port, and an unknown variable stops the start."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from services.shared.runtime.settings import (
    EXIT_CONFIG,
    Duration,
    HostPort,
    ServiceSettings,
    is_loopback,
    load_settings,
    parse_duration,
    parse_host_port,
    parse_size,
    read_secret,
    unknown_variables,
)


class ExampleSettings(ServiceSettings):
    """A service of its own, so that no real one is needed."""

    model_config = SettingsConfigDict(env_prefix="PRIMACY_EXAMPLE_", frozen=True, extra="forbid")

    listen: HostPort = "127.0.0.1:1"
    poll: Duration = timedelta(seconds=5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("500ms", timedelta(milliseconds=500), id="milliseconds"),
        pytest.param("3s", timedelta(seconds=3), id="seconds"),
        pytest.param("1.5m", timedelta(seconds=90), id="fraction"),
        pytest.param("24h", timedelta(days=1), id="hours"),
        pytest.param(" 7us ", timedelta(microseconds=7), id="white space around"),
    ],
)
def test_duration_is_read_with_its_unit(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("16MiB", 16 << 20, id="mebibytes"),
        pytest.param(" 64KiB ", 64 << 10, id="white space around"),
        pytest.param("2GiB", 2 << 30, id="gibibytes"),
        pytest.param(4096, 4096, id="a number is bytes"),
    ],
)
def test_size_is_read_with_its_unit(text: object, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["16MB", "", "MiB", "-1KiB", "1.5GiB", "1KiB2"])
def test_size_without_a_known_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


@pytest.mark.parametrize("text", ["5", "", "s", "-1s", "5 parsecs", "1s2"])
def test_duration_without_a_known_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration with a unit"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["localhost", ":1", "host:", "host:65536", "host:x"])
def test_endpoint_without_host_or_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        parse_host_port(text)


@pytest.mark.parametrize(
    ("listener", "expected"),
    [
        pytest.param("127.0.0.1:1", True, id="ipv4 loopback"),
        pytest.param("127.9.9.9:1", True, id="all of 127/8"),
        pytest.param("[::1]:1", True, id="ipv6 loopback"),
        pytest.param("localhost:1", True, id="by name"),
        pytest.param("0.0.0.0:1", False, id="every address"),
        pytest.param("db.example:1", False, id="a name we do not resolve"),
    ],
)
def test_only_loopback_counts_as_loopback(listener: str, expected: bool) -> None:
    assert is_loopback(listener) is expected


def test_misspelt_variable_is_named() -> None:
    environ = {"PRIMACY_EXAMPLE_POLL": "1s", "PRIMACY_EXAMPLE_POL": "1s", "PRIMACY_OTHER_X": "1", "PATH": "/bin"}
    assert unknown_variables(ExampleSettings, environ) == ["PRIMACY_EXAMPLE_POL"]


def test_misspelt_variable_stops_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        load_settings(ExampleSettings, {"PRIMACY_EXAMPLE_POL": "1s"})
    assert stopped.value.code == EXIT_CONFIG
    assert "PRIMACY_EXAMPLE_POL" in capsys.readouterr().err


def test_wrong_value_stops_the_start_and_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIMACY_EXAMPLE_POLL", "5")
    with pytest.raises(SystemExit) as stopped:
        load_settings(ExampleSettings, {"PRIMACY_EXAMPLE_POLL": "5"})
    assert stopped.value.code == EXIT_CONFIG
    assert "PRIMACY_EXAMPLE_POLL" in capsys.readouterr().err


def test_settings_do_not_change_after_the_start() -> None:
    settings = ExampleSettings()
    with pytest.raises(ValidationError):
        settings.node = "other"


def test_half_a_tls_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="go together"):
        ExampleSettings(tls_cert_file=tmp_path / "cert.pem")


def test_secret_loses_its_trailing_newline_only(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(" pass word \n", encoding="utf-8")
    assert read_secret(file) == " pass word "

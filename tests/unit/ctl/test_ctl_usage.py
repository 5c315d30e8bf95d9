"""Mistakes on the command line, and the help that lists what there is."""

from __future__ import annotations

import pytest

from services.ctl.__main__ import run


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("topology", "--nodes", "a:b"), id="nodes"),
        pytest.param(("plan", "p:0"), id="port"),
        pytest.param(("plan",), id="argument missing"),
        pytest.param(("findings", "--timeout", "5"), id="duration without unit"),
        pytest.param(("findings", "--timeout", "0s"), id="no time"),
        pytest.param(("findings", "--output", "xml"), id="output"),
        pytest.param(("recover", "p", "--request-id", "7"), id="request id"),
        pytest.param(("consensus", "cancel-replacement", "7"), id="replacement"),
        pytest.param(("consensus", "cancel-replacement", ""), id="empty replacement"),
        pytest.param(("nonsense",), id="command"),
        pytest.param(("health", "no-port"), id="endpoint"),
        pytest.param(("up", "--nodes", "0"), id="no node"),
        pytest.param(("up", "--mysql-password-file", "/does/not/exist"), id="password file"),
    ],
)
def test_mistakes_of_usage_exit_with_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err


def test_help_lists_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0

    shown = capsys.readouterr().out
    commands = "up status health discover topology findings explain analyze plan recover recoveries primaries"
    groups = "downtime maintenance rule tag pool name policy setting"
    assert all(f"\n  {command} " in shown for command in (*commands.split(), *groups.split()))
    assert "Exit codes: 0 done;" in shown

"""The data directory belongs to one suite, and to one process at a time."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from services.ctl.failure import CtlError, Exit
from services.ctl.up.data import check_password_file, check_ports, claimed
from services.ctl.up.layout import SuiteOptions, suite_processes


def test_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    options = SuiteOptions(tmp_path / "new" / "data")

    with claimed(options):
        assert (options.data.stat().st_mode & 0o077) == 0


def test_second_process_is_refused_while_the_first_holds_it(tmp_path: Path) -> None:
    options = SuiteOptions(tmp_path)

    with claimed(options), pytest.raises(CtlError, match="another `primacy up`"), claimed(options):
        pass
    with claimed(options):
        pass


def test_suite_of_another_shape_is_refused(tmp_path: Path) -> None:
    options = SuiteOptions(tmp_path, node_count=3)
    with claimed(options):
        pass

    with pytest.raises(CtlError, match="--nodes 3 --base-port 50051"), claimed(replace(options, node_count=1)):
        pass


def test_directory_with_an_unreadable_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "suite.json").write_text("{", encoding="utf-8")

    with pytest.raises(CtlError, match="other members"), claimed(SuiteOptions(tmp_path)):
        pass


def test_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(CtlError, match="--data") as refusal, claimed(SuiteOptions(tmp_path / "file" / "below")):
        pass
    assert refusal.value.exit_code is Exit.REFUSED


def test_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        specs = [replace(suite_processes(SuiteOptions(tmp_path))[0], ports=(port,))]

        with pytest.raises(CtlError, match=f"port {port} of node1 consensus is taken"):
            check_ports(specs)
    check_ports(specs)


def test_missing_password_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(CtlError, match="No such file") as refusal:
        check_password_file(tmp_path / "missing")
    assert refusal.value.exit_code is Exit.USAGE

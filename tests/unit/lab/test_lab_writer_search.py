"""Whom the writer asks next."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.support.lab.accounts import Account
from tests.support.lab.writer import _Target, _willing


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never says a word, as a stopped server does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def _target(port: int, answer_timeout_s: float = 0.05) -> _Target:
    account = Account("app", "secret")
    return _Target("127.0.0.1", port, account, "writer", connect_timeout_s=0.1, answer_timeout_s=answer_timeout_s)


def test_silent_instance_is_left_alone_for_a_while(silent_port: int) -> None:
    silent, other = _target(silent_port), _target(1)

    assert silent.insert(1) is False

    assert _willing([silent, other]) == [other]


def test_refusing_instance_is_asked_again_at_once() -> None:
    refusing = _target(1, answer_timeout_s=60)

    assert refusing.insert(1) is False

    assert refusing.rests_until == 0.0


def test_silent_instances_are_asked_when_there_are_no_others(silent_port: int) -> None:
    silent = _target(silent_port)
    silent.insert(1)

    assert _willing([silent]) == [silent]

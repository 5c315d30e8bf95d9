"""The demo claims success only for what the servers and the application show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from demo.proof import Proof
from services.ctl.text import plain

GOOD = Proof(successor="r1:3306", outage_ms=412.4, acknowledged=900, lost=0, writable=("r1:3306",), stray=())


def test_figures_are_one_line() -> None:
    (content,) = GOOD.lines()

    assert plain(content) == "writes resumed on r1:3306 after 412 ms; of 900 acknowledged writes 0 lost"
    assert GOOD.holds


@pytest.mark.parametrize(
    ("proof", "failure"),
    [
        pytest.param(replace(GOOD, lost=1), "1 acknowledged writes are lost", id="lost write"),
        pytest.param(replace(GOOD, writable=()), "writable: nobody; it should be r1:3306 alone", id="nobody writable"),
        pytest.param(
            replace(GOOD, writable=("r1:3306", "r2:3306")),
            "writable: r1:3306, r2:3306; it should be r1:3306 alone",
            id="two writers",
        ),
        pytest.param(replace(GOOD, stray=("r2:3306",)), "not following r1:3306: r2:3306", id="stray replica"),
    ],
)
def test_anything_less_is_a_failure(proof: Proof, failure: str) -> None:
    assert not proof.holds
    assert proof.failure == failure

"""What a failed call means for a script and for a person."""

from __future__ import annotations

import grpc
import pytest

from services.ctl.failure import EXIT_CODES, Exit, describe, exit_code_of
from services.shared.runtime.status import RemoteError


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 2),
        (grpc.StatusCode.NOT_FOUND, 3),
        (grpc.StatusCode.FAILED_PRECONDITION, 1),
        (grpc.StatusCode.ABORTED, 1),
        (grpc.StatusCode.PERMISSION_DENIED, 1),
        (grpc.StatusCode.UNAVAILABLE, 4),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 4),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 4),
        (grpc.StatusCode.UNIMPLEMENTED, 4),
        (grpc.StatusCode.INTERNAL, 70),
        (grpc.StatusCode.UNKNOWN, 70),
        (grpc.StatusCode.DATA_LOSS, 70),
    ],
)
def test_exit_code_tells_what_kind_of_failure(code: grpc.StatusCode, exit_code: int) -> None:
    assert exit_code_of(code) == exit_code


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_no_failure_exits_as_success(code: grpc.StatusCode) -> None:
    assert exit_code_of(code) is not Exit.OK


def test_refusal_says_who_what_and_what_next() -> None:
    refusal = RemoteError(grpc.StatusCode.NOT_FOUND, "CLUSTER_UNKNOWN", "cluster x is not known", {})

    error = describe("discovery at h:1", refusal)

    assert str(error) == "discovery at h:1: cluster x is not known; `primacy topology` lists the clusters"
    assert error.exit_code is Exit.NOT_FOUND


def test_silence_is_told_without_the_library_s_words() -> None:
    failure = RemoteError(grpc.StatusCode.UNAVAILABLE, "", "failed to connect to all addresses; last error: ...", {})

    error = describe("recovery at h:1", failure)

    assert str(error).startswith("recovery at h:1: does not answer; start a node with `primacy up`")


def test_all_exit_codes_are_documented() -> None:
    for code in Exit:
        assert f"{int(code)} " in EXIT_CODES

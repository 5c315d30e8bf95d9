"""What can go wrong for the person at the terminal: one line, and an exit code a script can use."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import grpc

from services.shared.runtime.status import RemoteError


class Exit(enum.IntEnum):
    """Exit codes of `primacy`; they never change their meaning."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNAVAILABLE = 4
    WRONG = 5
    INTERNAL = 70
    INTERRUPTED = 130


EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 refused, a precondition does not hold; 2 usage or invalid argument; 3 not found; "
    "4 no service answered in time; 5 answered, and something is wrong (findings, status, a recovery with losses); "
    "70 internal error; 130 interrupted."
)


class CtlError(Exception):
    """A command that cannot go on.

    Attributes:
        exit_code: What the process ends with.
    """

    def __init__(self, message: str, exit_code: Exit) -> None:
        super().__init__(message)
        self.exit_code = exit_code


_CODES: Final[Mapping[grpc.StatusCode, Exit]] = {
    grpc.StatusCode.INVALID_ARGUMENT: Exit.USAGE,
    grpc.StatusCode.NOT_FOUND: Exit.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION: Exit.REFUSED,
    grpc.StatusCode.ABORTED: Exit.REFUSED,
    grpc.StatusCode.ALREADY_EXISTS: Exit.REFUSED,
    grpc.StatusCode.OUT_OF_RANGE: Exit.REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: Exit.REFUSED,
    grpc.StatusCode.UNAUTHENTICATED: Exit.REFUSED,
    grpc.StatusCode.UNAVAILABLE: Exit.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Exit.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Exit.UNAVAILABLE,
    grpc.StatusCode.CANCELLED: Exit.UNAVAILABLE,
    grpc.StatusCode.UNIMPLEMENTED: Exit.UNAVAILABLE,
}

_NEXT_STEPS: Final[Mapping[str, str]] = {
    "INSTANCE_UNKNOWN": "see `primacy topology`, or make it known: primacy discover HOST:PORT",
    "CLUSTER_UNKNOWN": "`primacy topology` lists the clusters",
    "RECOVERY_UNKNOWN": "`primacy recoveries` lists them",
    "INSTANCE_UNREACHABLE": "check that mysqld runs there and that the address is right",
    "ACCESS_DENIED": "check the MySQL account the services use, and its grants",
    "NO_ACTIONABLE_FINDING": "`primacy explain HOST:PORT` shows what is seen of it",
    "NO_PROMOTION_CANDIDATE": "`primacy plan HOST:PORT` shows why each replica is refused",
    "RECOVERY_OPEN": "watch it: primacy recoveries ID --watch",
    "NO_LEADER": "`primacy status` shows who is missing",
    "NOT_LEADER": "`primacy status` shows who leads; name that node with --nodes",
}

_CODE_STEPS: Final[Mapping[grpc.StatusCode, str]] = {
    grpc.StatusCode.DEADLINE_EXCEEDED: "see `primacy status`, or give it longer with --timeout",
    grpc.StatusCode.UNAVAILABLE: "start a node with `primacy up`, or name others with --nodes or PRIMACY_NODES",
    grpc.StatusCode.UNIMPLEMENTED: "that node runs another version, or another program answers there",
    grpc.StatusCode.INTERNAL: "that service's log has the details",
    grpc.StatusCode.UNKNOWN: "that service's log has the details",
}


def exit_code_of(code: grpc.StatusCode) -> Exit:
    """Return the exit code for a gRPC status code; what is not expected is an internal error."""
    return _CODES.get(code, Exit.INTERNAL)


def describe(where: str, error: RemoteError) -> CtlError:
    """Return a failed call as the error a person reads: who says so, what, and what to do next.

    Args:
        where: The service and its endpoint, for example `recovery at 127.0.0.1:50053`.
        error: What the call said.
    """
    return CtlError(f"{where}: {_said(error)}{_next_step(error)}", exit_code_of(error.code))


def _said(error: RemoteError) -> str:
    if error.reason:
        return error.message
    match error.code:
        case grpc.StatusCode.UNAVAILABLE:
            return "does not answer"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return "did not answer in time"
        case _:
            return error.message or error.code.name


def _next_step(error: RemoteError) -> str:
    step = _NEXT_STEPS.get(error.reason) if error.reason else _CODE_STEPS.get(error.code)
    return f"; {step}" if step else ""

"""How calls of services fail, and whether another node is worth asking."""

from __future__ import annotations

from typing import Final

import grpc

from services.ctl.failure import CtlError, Exit, describe
from services.shared.runtime.status import RemoteError

_TRY_ANOTHER_NODE: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


class CallFailed(Exception):
    """One call of one service failed.

    Attributes:
        where: The service and its endpoint.
        remote: What it said.
    """

    def __init__(self, where: str, remote: RemoteError) -> None:
        super().__init__(where)
        self.where = where
        self.remote = remote

    @property
    def worth_another_node(self) -> bool:
        """Another node may answer what this one could not."""
        return self.remote.code in _TRY_ANOTHER_NODE or self.remote.reason == "NOT_LEADER"

    @property
    def electing(self) -> bool:
        """A leader may be there a moment later."""
        return self.remote.reason in {"NO_LEADER", "NOT_LEADER"}

    def described(self) -> CtlError:
        """Return it as the error a person reads."""
        return describe(self.where, self.remote)


class NobodyAnswers(Exception):
    """No node that was asked has an answer.

    Attributes:
        failures: What each of them said, at least one.
    """

    def __init__(self, failures: tuple[CallFailed, ...]) -> None:
        assert failures
        super().__init__(", ".join(failure.where for failure in failures))
        self.failures = failures

    @property
    def electing(self) -> bool:
        """A leader may be there a moment later."""
        return any(failure.electing for failure in self.failures)

    def described(self) -> CtlError:
        """Return one error for all: the most telling failure, and who else does not answer."""
        telling = next((failure for failure in self.failures if failure.remote.reason), self.failures[0])
        error = telling.described()
        others = [failure.where.partition(" at ")[2] for failure in self.failures if failure is not telling]
        if telling.remote.reason or not others:
            return error
        return CtlError(f"{error} (nor do {', '.join(others)} answer)", Exit(error.exit_code))

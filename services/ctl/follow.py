"""Following one recovery until it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

from primacy.recovery.v1 import recovery_pb2 as pb

from services.ctl.api import RECOVERY
from services.ctl.client import Suite
from services.ctl.failure import Exit


async def follow(suite: Suite, recovery_id: str) -> AsyncIterator[pb.Recovery]:
    """Yield a recovery, whole, as it is and at each change, until it has ended.

    Raises:
        CtlError: It is not known, or no node answers any more.
    """
    request = pb.WatchRecoveryRequest(recovery_id=recovery_id)
    async for message in suite.watch(RECOVERY.stream(lambda stub: stub.WatchRecovery, request)):
        if not message.HasField("recovery"):
            continue
        yield message.recovery
        if ended(message.recovery):
            return


def ended(recovery: pb.Recovery) -> bool:
    """Return whether a recovery has ended; a state this build does not know has not."""
    return recovery.state in {
        pb.Recovery.STATE_SUCCEEDED,
        pb.Recovery.STATE_SUCCEEDED_WITH_LOSSES,
        pb.Recovery.STATE_FAILED,
    }


def outcome(recovery: pb.Recovery) -> Exit:
    """Return the exit code for how a recovery ended; an unfinished one is not known to be fine."""
    match recovery.state:
        case pb.Recovery.STATE_SUCCEEDED:
            return Exit.OK
        case pb.Recovery.STATE_FAILED:
            return Exit.REFUSED
        case _:
            return Exit.WRONG

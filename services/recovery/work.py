"""The recoveries that run in this process: one task per cluster, and a rest after trouble."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self

from services.recovery.model import LeaseLost
from services.recovery.ports import JournalRefused, JournalUnavailable
from services.shared.runtime.errors import DomainError

log = logging.getLogger(__name__)

_SHORT_REST_S: Final = 0.2
"""After work on a cluster was refused, or lost its lease, it is not begun again for so long."""
_LONG_REST_S: Final = 5.0
"""The same after a refusal that repeating does not change, such as a downtime, or a mistake of ours."""

Work = Callable[[], Awaitable[None]]


class RecoveryWork:
    """An async context manager; on leaving, what runs is cancelled."""

    def __init__(self, ended: Callable[[], None]) -> None:
        """Make it idle.

        Args:
            ended: Told whenever work on a cluster may begin again.
        """
        self._ended = ended
        self._tasks = asyncio.TaskGroup()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._resting: set[str] = set()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._running.values():
            task.cancel()
        await self._tasks.__aexit__(kind, error, traceback)

    @property
    def idle(self) -> bool:
        """Whether nothing runs."""
        return not self._running

    def start(
        self,
        cluster_id: str,
        work: Work,
        told: asyncio.Future[Any] | None = None,
        *,
        even_if_resting: bool = False,
    ) -> bool:
        """Begin work on a cluster, unless something runs there already; return whether it was begun.

        Args:
            cluster_id: The cluster.
            work: Makes the coroutine.
            told: Given the error if the work fails before it has told anything else.
            even_if_resting: Begin although the last work there ended in trouble a moment ago.
        """
        if cluster_id in self._running or (cluster_id in self._resting and not even_if_resting):
            return False
        self._running[cluster_id] = self._tasks.create_task(self._run(cluster_id, work, told))
        return True

    async def _run(self, cluster_id: str, work: Work, told: asyncio.Future[Any] | None) -> None:
        try:
            await work()
        except LeaseLost as lost:
            log.warning("recovery.stopped", extra={"cluster": cluster_id, "problem": str(lost)})
            self._tell(told, lost)
            self._rest(cluster_id, _SHORT_REST_S)
        except (DomainError, JournalRefused, JournalUnavailable) as refused:
            log.warning("recovery.refused", extra={"cluster": cluster_id, "problem": str(refused)})
            self._tell(told, refused)
            self._rest(cluster_id, _LONG_REST_S if isinstance(refused, JournalRefused) else _SHORT_REST_S)
        except Exception as error:  # One broken recovery must not end the others.
            log.error("recovery.broke", exc_info=error, extra={"cluster": cluster_id})
            self._tell(told, error)
            self._rest(cluster_id, _LONG_REST_S)
        finally:
            del self._running[cluster_id]
            self._ended()

    def _tell(self, told: asyncio.Future[Any] | None, error: Exception) -> None:
        if told is not None and not told.done():
            told.set_exception(error)

    def _rest(self, cluster_id: str, rest_s: float) -> None:
        self._resting.add(cluster_id)
        asyncio.get_running_loop().call_later(rest_s, self._wake, cluster_id)

    def _wake(self, cluster_id: str) -> None:
        self._resting.discard(cluster_id)
        self._ended()

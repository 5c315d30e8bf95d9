"""Holders of the lease `recovery`, one beside each member, and executors that act under it, as recovery does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from pathlib import Path
from typing import Any, Final

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb

from services.shared.runtime.clock import boottime_ns
from services.shared.runtime.status import parse_error
from tests.chaos.group_client import changed_nothing
from tests.proof.history import History
from tests.proof.models import Acquire, Check, Granted, Held, Release
from tests.support.consensus_group import LEASE, NOT_FORWARDED, MemberProcess, new_id, register

MARGIN_NS: Final = 20_000_000
"""By how much a lease must outlast a statement (F4)."""
LEASE_KEY: Final = "lease"
_KEEP_S: Final = 0.5
_PAUSE_S: Final = 0.05
_CALL_S: Final = 2.0
_STATEMENT_S: Final = 0.01
_STEP_COUNT: Final = 20
_MEAN_TENURE_S: Final = 20.0


class Executor:
    """A server that records who changed it when; a line of the trace for each statement (I9, I10)."""

    def __init__(self, file: Path) -> None:
        """Write statements to a file."""
        self._out = file.open("ab", buffering=0)
        self.statement_count = 0

    def state(self, token: int, valid_until_ns: int) -> None:
        """Send a statement if the lease outlasts it (F4); nothing is awaited between check and record."""
        now = boottime_ns()
        if now + MARGIN_NS < valid_until_ns:
            line = {"at": now, "member": 0, "kind": "statement", "token": token, "instance": "db1"}
            self._out.write(json.dumps(line).encode() + b"\n")
            self.statement_count += 1

    def close(self) -> None:
        """End it."""
        self._out.close()


class Holder:
    """Acquires the lease whenever its member leads, and keeps it until it is lost, or given back for no reason."""

    def __init__(self, member: MemberProcess, history: History, executor: Executor, seed: int) -> None:
        """Make a holder that holds nothing."""
        self.token = 0
        """Newest token it was granted."""
        self._member = member
        self._history = history
        self._executor = executor
        self._random = random.Random(seed)
        self._session = new_id()
        self._valid_until_ns = 0
        self._draining = asyncio.Event()

    async def run(self) -> None:
        """Hold until cancelled."""
        while True:
            if self._member.running and await self._acquire():
                acting = asyncio.create_task(self._act())
                try:
                    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
                        async with asyncio.timeout(self._random.expovariate(1 / _MEAN_TENURE_S)):
                            await self._keep()
                finally:
                    acting.cancel()
                    await asyncio.gather(acting, return_exceptions=True)
                await self._release()
            await asyncio.sleep(_PAUSE_S)

    async def _acquire(self) -> bool:
        number = self._history.invoke(self._member.member_id, LEASE_KEY, Acquire(self._session))
        try:
            request = pb.AcquireRequest(name=LEASE, session_id=self._session)
            response = await self._member.leases.Acquire(request, timeout=2)
        except grpc.aio.AioRpcError as error:
            told = parse_error(error)
            if told.reason == "LEASE_HELD":
                self._history.answered(number, Held(int(told.metadata["fencing_token"])))
            elif changed_nothing(error):
                self._history.refused(number)
            return False
        self._draining.clear()
        self.token = response.lease.fencing_token
        self._valid_until_ns = response.validity.valid_until_boottime_ns
        self._history.answered(number, Granted(self.token))
        return True

    async def _keep(self) -> None:
        stream: Any = self._member.leases.KeepAlive()
        message = pb.KeepAliveRequest(name=LEASE, session_id=self._session, fencing_token=self.token)
        reader = asyncio.create_task(self._listen(stream))
        try:
            await stream.write(message)
            while not reader.done():
                await asyncio.wait((reader,), timeout=_KEEP_S)
                if not reader.done():
                    await stream.write(message)
            reader.result()
        finally:
            reader.cancel()
            stream.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _listen(self, stream: Any) -> None:
        async for push in stream:
            if push.state == pb.KeepAliveResponse.STATE_LOST:
                return
            if push.state == pb.KeepAliveResponse.STATE_DRAINING:
                self._draining.set()
            if push.validity.valid_until_boottime_ns:
                self._valid_until_ns = push.validity.valid_until_boottime_ns

    async def _act(self) -> None:
        """Carry out recoveries until a write is refused, or leadership is handed over."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            while not self._draining.is_set():
                await self._recover(self.token)

    async def _recover(self, token: int) -> None:
        recovery_id = new_id()
        await register(self._member, token, recovery_id=recovery_id, forward=False)
        for number in range(1, _STEP_COUNT + 1):
            if self._draining.is_set():
                return
            await self._record(recovery_id, token, number, pb.StepRecord.PHASE_INTENT)
            self._executor.state(token, self._valid_until_ns)  # Only with an intent that is answered (F6).
            await self._record(recovery_id, token, number, pb.StepRecord.PHASE_DONE)
            await asyncio.sleep(_STATEMENT_S)
        close = pb.CloseRecoveryRequest(recovery_id=recovery_id, fencing_token=token, data=b"ended")
        await self._member.journal.CloseRecovery(close, timeout=_CALL_S, metadata=(NOT_FORWARDED,))

    async def _record(self, recovery_id: str, token: int, number: int, phase: pb.StepRecord.Phase.ValueType) -> None:
        step = pb.StepRecord(number=number, phase=phase, data=b"step")
        request = pb.RecordStepRequest(recovery_id=recovery_id, fencing_token=token, step=step)
        await self._member.journal.RecordStep(request, timeout=_CALL_S, metadata=(NOT_FORWARDED,))

    async def _release(self) -> None:
        number = self._history.invoke(self._member.member_id, LEASE_KEY, Release(self._session, self.token))
        try:
            request = pb.ReleaseRequest(name=LEASE, session_id=self._session, fencing_token=self.token)
            await self._member.leases.Release(request, timeout=2)
        except grpc.aio.AioRpcError as error:
            if changed_nothing(error):
                self._history.refused(number)
            return
        self._history.answered(number, None)


class Asker:
    """Asks members whether the newest token is good."""

    def __init__(self, members: tuple[MemberProcess, ...], holders: tuple[Holder, ...], history: History) -> None:
        """Ask these members about the tokens of these holders."""
        self._members = members
        self._holders = holders
        self._history = history

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            for member in self._members:
                await asyncio.sleep(_PAUSE_S)
                token = max(holder.token for holder in self._holders)
                if member.running and token:
                    await self._ask(member, token)

    async def _ask(self, member: MemberProcess, token: int) -> None:
        number = self._history.invoke(0, LEASE_KEY, Check(token))
        try:
            await member.leases.Check(pb.CheckRequest(name=LEASE, fencing_token=token), timeout=1)
        except grpc.aio.AioRpcError as error:
            if parse_error(error).reason == "STALE_FENCING_TOKEN":
                self._history.answered(number, False)
            else:
                self._history.refused(number)  # A check changes nothing.
            return
        self._history.answered(number, True)

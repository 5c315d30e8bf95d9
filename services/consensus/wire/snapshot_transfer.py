"""Snapshots on the wire: chunks with offset and crc32c, resumed where a broken stream stopped (N3).

The receiver names the offset it wants; a chunk that does not fit there, or is damaged, ends the stream, and the next
one begins at the offset that is answered first. So the sender may be some chunks ahead of the answers.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import IO, Any, Final

import google_crc32c
import grpc
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.raft.model import LogMark
from services.consensus.state.snapshot import SnapshotRefused
from services.consensus.wire.greeting import PeerRefused
from services.shared.runtime.grpc_client import end_if_cancelled

log = logging.getLogger(__name__)

CHUNK_BYTES: Final = 256 * 1024
AHEAD_BYTES: Final = 8 * CHUNK_BYTES
"""How far a sender may be ahead of the answers."""
MAX_SNAPSHOT_BYTES: Final = 1 << 30
MAX_OUTGOING: Final = 2
ANSWER_S: Final = 10.0
"""Longest wait for the answer to a chunk."""
INSTALL_S: Final = 120.0
"""Longest wait for the answer to the last one, which comes when the snapshot is installed."""
_ATTEMPTS: Final = 4
"""Streams in a row that end without progress before a transfer is given up."""
_PAUSE_S: Final = 0.25


class Pace:
    """Lets so many bytes a second through, all transfers together."""

    def __init__(self, bytes_per_s: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0

    async def take(self, length: int) -> None:
        """Wait until so many bytes may be sent."""
        now = asyncio.get_running_loop().time()
        start = max(now, self._free_at)
        self._free_at = start + length / self._bytes_per_s
        if start > now:
            await asyncio.sleep(start - now)


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach a member: a channel of its own, and the hello that goes first."""

    channel: grpc.aio.Channel
    hello: pb.Hello


class SnapshotSender:
    """Sends snapshots, at most two at once."""

    def __init__(
        self,
        route: Callable[[int], Route | None],
        term: Callable[[], int],
        ended: Callable[[int, LogMark, bool], None],
        bytes_per_s: int,
    ) -> None:
        """Begin with nothing to send.

        Args:
            route: Opens a way to a member; None = it is not known any more.
            term: This member's term.
            ended: Told once per transfer; True = installed there, or not needed.
            bytes_per_s: Rate limit, all transfers together.
        """
        self._route = route
        self._term = term
        self._ended = ended
        self._pace = Pace(bytes_per_s)
        self._slots = asyncio.Semaphore(MAX_OUTGOING)
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, member_id: int, mark: LogMark, data: bytes) -> None:
        """Begin a transfer, never blocking."""
        task = asyncio.ensure_future(self._send(member_id, mark, data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all transfers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self, member_id: int, mark: LogMark, data: bytes) -> None:
        delivered = False
        try:
            async with self._slots:
                header = pb.SnapshotHeader(
                    term=self._term(),
                    index=mark.index,
                    index_term=mark.term,
                    size=len(data),
                    sha256=await _sha256(data),
                )
                delivered = await self._insist(member_id, header, data)
        finally:
            self._ended(member_id, mark, delivered)

    async def _insist(self, member_id: int, header: pb.SnapshotHeader, data: bytes) -> bool:
        fruitless, reached = 0, 0
        while fruitless < _ATTEMPTS:
            transfer = _Transfer(header, data, self._pace)
            try:
                return await self._attempt(member_id, transfer)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
                end_if_cancelled()
                problem = error.details() if isinstance(error, grpc.aio.AioRpcError) else "no answer in time"
            fruitless = 0 if transfer.wanted > reached else fruitless + 1
            reached = max(reached, transfer.wanted)
            await asyncio.sleep(_PAUSE_S)
        log.warning("consensus.snapshot_not_sent", extra={"peer": member_id, "problem": problem})
        return False

    async def _attempt(self, member_id: int, transfer: _Transfer) -> bool:
        route = self._route(member_id)
        if route is None:
            return False
        try:
            answer = await transfer.run(pb_grpc.RaftServiceStub(route.channel).InstallSnapshot(), route.hello)
        finally:
            await route.channel.close()
        if answer.problem:
            log.error("consensus.snapshot_refused", extra={"peer": member_id, "problem": answer.problem})
        return answer.done


class _Transfer:
    """One stream of one snapshot."""

    def __init__(self, header: pb.SnapshotHeader, data: bytes, pace: Pace) -> None:
        self.wanted = 0
        self._header = header
        self._data = data
        self._pace = pace

    async def run(self, call: Any, hello: pb.Hello) -> pb.InstallSnapshotResponse:
        """Send what the receiver lacks and return its last answer."""
        async with asyncio.timeout(ANSWER_S):
            await call.write(pb.InstallSnapshotRequest(hello=hello, snapshot=self._header))
        answer = await self._answer(call)
        offset = answer.next_offset
        while not answer.done and not answer.problem and answer.next_offset < len(self._data):
            while offset < len(self._data) and offset - answer.next_offset < AHEAD_BYTES:
                offset = await self._chunk(call, offset)
            answer = await self._answer(call)
        if not answer.done and not answer.problem:
            answer = await self._answer(call, INSTALL_S)
        await call.done_writing()
        return answer

    async def _chunk(self, call: Any, offset: int) -> int:
        data = self._data[offset : offset + CHUNK_BYTES]
        await self._pace.take(len(data))
        request = pb.InstallSnapshotRequest(offset=offset, data=data, crc32c=google_crc32c.value(data))
        async with asyncio.timeout(ANSWER_S):
            await call.write(request)
        return offset + len(data)

    async def _answer(self, call: Any, within_s: float = ANSWER_S) -> pb.InstallSnapshotResponse:
        async with asyncio.timeout(within_s):
            answer = await call.read()
        if answer is grpc.aio.EOF:
            raise TimeoutError
        assert isinstance(answer, pb.InstallSnapshotResponse)
        self.wanted = answer.next_offset
        return answer


async def _sha256(data: bytes) -> bytes:
    """Hash in pieces, so that heartbeats go on meanwhile."""
    digest = hashlib.sha256()
    for offset in range(0, len(data), CHUNK_BYTES):
        digest.update(data[offset : offset + CHUNK_BYTES])
        await asyncio.sleep(0)
    return digest.digest()


class _Spool:
    """What has arrived of one snapshot, in a file without a name: it is gone with the process."""

    def __init__(self, header: pb.SnapshotHeader) -> None:
        self.sha256 = header.sha256
        self.size = header.size
        self.arrived = 0
        self.streams = 0
        self._digest = hashlib.sha256()
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="primacy-snapshot-")  # noqa: SIM115  Outlives the stream.

    @property
    def complete(self) -> bool:
        """Whether all bytes are here."""
        return self.arrived == self.size

    @property
    def right(self) -> bool:
        """Whether the hash of what arrived is the one announced."""
        return self._digest.digest() == self.sha256

    def add(self, chunk: pb.InstallSnapshotRequest) -> None:
        """Append a chunk.

        Raises:
            PeerRefused: It is damaged, too long, or not the one wanted.
        """
        data = chunk.data
        if chunk.offset != self.arrived:
            raise PeerRefused(f"chunk at {chunk.offset} of a snapshot, {self.arrived} is wanted")
        if not 0 < len(data) <= CHUNK_BYTES or self.arrived + len(data) > self.size:
            raise PeerRefused(f"chunk of {len(data)} bytes at {chunk.offset} of a snapshot of {self.size}")
        if google_crc32c.value(data) != chunk.crc32c:
            raise PeerRefused(f"chunk at {chunk.offset} of a snapshot is damaged")
        self._file.write(data)
        self._digest.update(data)
        self.arrived += len(data)

    def read(self) -> bytes:
        """Return everything."""
        self._file.seek(0)
        return self._file.read()

    def close(self) -> None:
        """Forget everything."""
        self._file.close()


class SnapshotReceiver:
    """Takes snapshots, one at a time: a newer one, or a newer stream of the same, takes over."""

    def __init__(self, install: Callable[[bytes, int], Awaitable[bool]], term: Callable[[], int]) -> None:
        """Begin with nothing.

        Args:
            install: Takes all bytes and the sender; True = installed durably, or not needed; False = not now; raises
                `SnapshotRefused`.
            term: This member's term.
        """
        self._install = install
        self._term = term
        self._spool: _Spool | None = None

    async def receive(
        self, sender: int, header: pb.SnapshotHeader, chunks: AsyncIterator[pb.InstallSnapshotRequest]
    ) -> AsyncIterator[pb.InstallSnapshotResponse]:
        """Take one stream; answers the header and each chunk with the offset wanted next, the last one when it is over.

        Raises:
            PeerRefused: It is not to be had in this way.
        """
        spool = self._open(header)
        spool.streams += 1
        stream = spool.streams
        yield self._answer(spool.arrived)
        while not spool.complete:
            chunk = await anext(chunks, None)
            if chunk is None:
                return
            if self._spool is not spool or spool.streams != stream:
                raise PeerRefused("another stream took over")
            spool.add(chunk)
            yield self._answer(spool.arrived)
        yield await self._finish(sender, spool)

    def close(self) -> None:
        """Forget what has arrived."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _open(self, header: pb.SnapshotHeader) -> _Spool:
        spool = self._spool
        if spool is not None and (spool.sha256, spool.size) == (header.sha256, header.size):
            return spool
        if not 0 < header.size <= MAX_SNAPSHOT_BYTES:
            raise PeerRefused(f"snapshot of {header.size} bytes")
        self.close()
        self._spool = spool = _Spool(header)
        return spool

    async def _finish(self, sender: int, spool: _Spool) -> pb.InstallSnapshotResponse:
        if not spool.right:
            self.close()
            return self._answer(0, problem="its hash is not the one announced")
        try:
            done = await self._install(spool.read(), sender)
        except SnapshotRefused as error:
            self._drop(spool)
            return self._answer(spool.size, problem=str(error))
        if done:
            self._drop(spool)
        return self._answer(spool.size, done=done)

    def _drop(self, spool: _Spool) -> None:
        if self._spool is spool:
            self.close()

    def _answer(self, next_offset: int, *, done: bool = False, problem: str = "") -> pb.InstallSnapshotResponse:
        return pb.InstallSnapshotResponse(next_offset=next_offset, done=done, term=self._term(), problem=problem)

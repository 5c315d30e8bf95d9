"""Calls that end while their caller is being ended."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import pytest

from services.shared.runtime.grpc_client import end_if_cancelled


async def _fails_instead_of_being_cancelled() -> None:
    """Do what grpc.aio's `read` does when its call ends at the same time."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())


async def _goes_on() -> None:
    while True:
        try:
            await _fails_instead_of_being_cancelled()
        except grpc.aio.AioRpcError:
            end_if_cancelled()


async def test_cancelled_task_ends_though_its_call_hid_that() -> None:
    task = asyncio.create_task(_goes_on())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)


async def test_task_that_nobody_cancelled_goes_on() -> None:
    end_if_cancelled()

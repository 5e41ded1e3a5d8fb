"""The portal for threads is opened by whoever asks for it first, and closed with the host."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from trunnion.late_portal import LatePortal


async def answer() -> int:
    await asyncio.sleep(0)
    return threading.get_ident()


def in_thread(portal: LatePortal) -> int:
    return portal.get().call(answer)


def in_thread_with_a_loop(portal: LatePortal) -> int:
    async def ask() -> int:
        return portal.get().call(answer)

    return asyncio.run(ask())


@pytest.mark.parametrize("ask", [in_thread, in_thread_with_a_loop])
async def test_a_thread_opens_it(ask: Callable[[LatePortal], int]) -> None:
    portal = LatePortal()
    try:
        both = await asyncio.gather(*(asyncio.to_thread(ask, portal) for _ in range(2)))
        assert both == [threading.get_ident()] * 2
    finally:
        await portal.close()


async def test_it_is_opened_on_the_loop_outside_of_any_task_and_used_at_once() -> None:
    """Defence: the loop is named to whoever would ask the task; ``_serve`` has its turn before the call."""
    portal, opened = LatePortal(), asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: opened.set_result(portal.get()))
    try:
        given = await opened
        assert given is portal.get()
        assert await asyncio.to_thread(given.call, answer) == threading.get_ident()
    finally:
        await portal.close()


async def test_closing_ends_the_calls_that_go_on() -> None:
    portal = LatePortal()
    going = await asyncio.to_thread(lambda: portal.get().start_task_soon(asyncio.sleep, 3600))
    async with asyncio.timeout(10):
        await portal.close()
    assert going.cancelled()
    with pytest.raises(RuntimeError, match="not running"):
        await asyncio.to_thread(portal.get().call, answer)


async def test_closed_at_once_after_it_was_opened_it_ends() -> None:
    portal = LatePortal()
    portal.get()
    async with asyncio.timeout(10):
        await portal.close()


async def test_after_the_end_it_is_not_opened_any_more() -> None:
    portal = LatePortal()
    await portal.close()
    with pytest.raises(RuntimeError, match="the host has ended"):
        portal.get()
    with pytest.raises(RuntimeError, match="the host has ended"):
        await asyncio.to_thread(portal.get)

"""Ctrl-C, Ctrl-Z and the signals that end a shell: each is heard once, by whoever waits then or later."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from trunnion_tty.signals import CAUGHT, Signals

pytestmark = pytest.mark.anyio


async def raised(number: signal.Signals) -> None:
    """Send a signal, and let the loop hear it."""
    os.kill(os.getpid(), number)
    await asyncio.sleep(0.01)


async def test_each_is_told_once_in_order_whoever_waits_or_not() -> None:
    with Signals(lambda: False, lambda _: None) as signals:
        signals.attend()
        await raised(signal.SIGINT)
        await raised(signal.SIGTSTP)
        assert await signals.next() == signal.SIGINT
        assert await signals.next() == signal.SIGTSTP
        waiting = asyncio.create_task(signals.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        await raised(signal.SIGINT)
        assert await waiting == signal.SIGINT
        signals.dismiss()


async def test_whoever_gives_up_waiting_takes_none_along() -> None:
    """Also not one that comes in that very moment: it is for whoever waits next."""
    with Signals(lambda: False, lambda _: None) as signals:
        for _ in range(3):
            waiting = asyncio.create_task(signals.next())
            await asyncio.sleep(0)
            signals.tell(signal.SIGINT)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()
            assert await asyncio.wait_for(signals.next(), 5) == signal.SIGINT


async def test_at_the_prompt_ctrl_c_is_the_prompts() -> None:
    typing, cleared = True, 0

    def at_prompt() -> bool:
        nonlocal cleared
        cleared += typing
        return typing

    with Signals(at_prompt, lambda _: None) as signals:
        await raised(signal.SIGINT)
        assert cleared == 1
        typing = False
        await raised(signal.SIGINT)
        assert await asyncio.wait_for(signals.next(), 5) == signal.SIGINT
        signals.tell(signal.SIGINT)
        signals.forget()
        waiting = asyncio.create_task(signals.next())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        waiting.cancel()


async def test_those_that_end_a_shell_are_told_and_the_others_do_nothing() -> None:
    ended: list[signal.Signals] = []
    with Signals(lambda: False, ended.append):
        for number in (signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
            await raised(number)
        assert ended == [signal.SIGTERM, signal.SIGHUP]


async def test_afterwards_everything_is_as_it_was() -> None:
    before = {number: signal.getsignal(number) for number in CAUGHT}
    with Signals(lambda: False, lambda _: None) as signals:
        signals.attend()
        signals.dismiss()
        assert signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL, "Ctrl-Z suspends a shell that waits for nothing"
    assert {number: signal.getsignal(number) for number in CAUGHT} == before

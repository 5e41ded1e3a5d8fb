"""Ctrl-C, Ctrl-Z and the signals that end a shell: each is heard once, by whoever waits then or later."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator

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


@pytest.fixture
def ignoring() -> Iterator[None]:
    """A process that was begun to ignore signals, as ``nohup`` and scripts do it."""
    found = {number: signal.signal(number, signal.SIG_IGN) for number in CAUGHT}
    yield
    for number, handler in found.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("ignoring")
async def test_what_a_process_was_begun_to_ignore_it_ignores() -> None:
    """Defence: ``_ignored``: a terminal that was closed ended lines that ``nohup`` was to keep."""
    ended: list[signal.Signals] = []
    with Signals(lambda: False, ended.append, attended=False) as signals:
        signals.attend()
        signals.dismiss()
        assert signal.getsignal(signal.SIGTSTP) == signal.SIG_IGN, "nobody would wake it"
        for number in CAUGHT:
            await raised(number)
        assert ended == []
        assert not signals._told
    with Signals(lambda: False, ended.append):
        await raised(signal.SIGHUP)
    assert ended == [signal.SIGHUP], "whoever sits at a keyboard has closed it"


async def test_no_program_inherits_that_a_signal_is_ignored() -> None:
    """Defence: SIGQUIT has a handler: a host that was started again ignored it, and all drivers of it."""
    show = "import signal, sys; sys.exit(int(signal.getsignal(signal.SIGQUIT) == signal.SIG_IGN))"
    with Signals(lambda: False, lambda _: None):
        program = await asyncio.create_subprocess_exec(sys.executable, "-c", show)
        assert await program.wait() == 0

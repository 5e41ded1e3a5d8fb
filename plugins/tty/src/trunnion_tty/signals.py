"""Signals as things the shell waits for; none of them ends it by accident."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)


class Signals:
    r"""While entered: Ctrl-C is counted, Ctrl-Z told, SIGTERM and SIGHUP end the shell in order, Ctrl-\ does nothing.

    Args:
        at_prompt: told of Ctrl-C while somebody types; says whether somebody does.
        ending: told of the signal that ends the shell.
    """

    def __init__(self, at_prompt: Callable[[], bool], ending: Callable[[signal.Signals], None]) -> None:
        self._at_prompt = at_prompt
        self._ending = ending
        self._waiting: asyncio.Future[signal.Signals] | None = None
        self._missed: list[signal.Signals] = []
        self._found = {number: signal.getsignal(number) for number in CAUGHT}

    def __enter__(self) -> Signals:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._ending, number)
        signal.signal(signal.SIGQUIT, signal.SIG_IGN)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP):
            loop.remove_signal_handler(number)
        for number, found in self._found.items():
            signal.signal(number, found if found is not None else signal.SIG_DFL)

    def attend(self) -> None:
        """From now on signals of the keyboard are about what is being waited for; older ones are of no interest."""
        self._missed.clear()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTSTP, self._told, signal.SIGTSTP)

    def dismiss(self) -> None:
        """Nobody waits any more: Ctrl-Z suspends the shell again."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)

    async def next(self) -> signal.Signals:
        """The next Ctrl-C (SIGINT) or Ctrl-Z (SIGTSTP) since ``attend``."""
        if self._missed:
            return self._missed.pop(0)
        self._waiting = asyncio.get_running_loop().create_future()
        return await self._waiting

    def _interrupt(self) -> None:
        if not self._at_prompt():
            self._told(signal.SIGINT)

    def _told(self, number: signal.Signals) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(number)
        else:
            self._missed.append(number)

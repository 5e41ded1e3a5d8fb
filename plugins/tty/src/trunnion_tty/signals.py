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
        at_once: the same, but called whatever the loop is waiting for; may raise to end that.
        attended: somebody is at the keyboard. Without that what this process was begun to ignore it ignores, as with
            ``nohup``, or behind ``&`` in a script.
    """

    def __init__(
        self,
        at_prompt: Callable[[], bool],
        ending: Callable[[signal.Signals], None],
        at_once: Callable[[], None] | None = None,
        *,
        attended: bool = True,
    ) -> None:
        self._at_prompt = at_prompt
        self._ending = ending
        self._at_once = at_once
        self._told: list[signal.Signals] = []
        self._arrived = asyncio.Event()
        self._found = {number: signal.getsignal(number) for number in CAUGHT}
        self._ignored = () if attended else [n for n in CAUGHT if self._found[n] == signal.SIG_IGN]

    def __enter__(self) -> Signals:
        loop = asyncio.get_running_loop()
        if signal.SIGINT not in self._ignored:
            loop.add_signal_handler(signal.SIGINT, self._interrupt)
        for number in {signal.SIGTERM, signal.SIGHUP}.difference(self._ignored):
            loop.add_signal_handler(number, self._ending, number)
            if self._at_once is not None:  # the loop hears of it all the same, by its descriptor
                signal.signal(number, self._end_at_once)
        signal.signal(signal.SIGQUIT, _nothing)  # a host that is started meanwhile, and all it starts, would ignore it
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP):
            loop.remove_signal_handler(number)
        for number, found in self._found.items():
            signal.signal(number, found if found is not None else signal.SIG_DFL)

    def forget(self) -> None:
        """What has come so far is of no interest any more: nothing was under way that it could be about."""
        self._told.clear()
        self._arrived.clear()

    def attend(self) -> None:
        """From now on Ctrl-Z is about what is being waited for, as Ctrl-C is."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTSTP, self.tell, signal.SIGTSTP)

    def dismiss(self) -> None:
        """Nobody waits any more: Ctrl-Z suspends the shell again, unless nobody is there to wake it."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTSTP)
        ignored = self._found[signal.SIGTSTP] == signal.SIG_IGN
        signal.signal(signal.SIGTSTP, signal.SIG_IGN if ignored else signal.SIG_DFL)

    async def next(self) -> signal.Signals:
        """The next Ctrl-C (SIGINT) or Ctrl-Z (SIGTSTP), first what came while nobody waited; giving up loses none."""
        await self._arrived.wait()
        told = self._told.pop(0)
        if not self._told:
            self._arrived.clear()
        return told

    def _end_at_once(self, _number: int, _frame: object) -> None:
        if self._at_once is not None:
            self._at_once()

    def _interrupt(self) -> None:
        if not self._at_prompt():
            self.tell(signal.SIGINT)

    def tell(self, number: signal.Signals) -> None:
        """Count one more, whoever noticed it."""
        self._told.append(number)
        self._arrived.set()


def _nothing(_number: int, _frame: object) -> None:
    """A signal that means nothing here."""

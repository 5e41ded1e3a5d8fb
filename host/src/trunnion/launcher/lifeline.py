"""A host behind a shell, from its own side: it ends when the shell does, and says only what the shell expects."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable
from typing import Final, TextIO

STUCK: Final = 5.0
"""Seconds the loop may take to notice that the shell has ended. Later nobody is there to stop this process."""
LONGEST: Final = 4 << 20
"""Bytes of standard error that are kept, when a handler or a program of one writes there by itself."""
KEPT: Final = 64 << 10
"""Bytes that are left of more."""
LOOK_EVERY: Final = 5.0


class Lifeline:
    """A pipe that only the shell in front can write to, so that its end is the end of the shell.

    Programs that this process starts do not inherit it.

    Args:
        descriptor: its reading end, inherited.

    Raises:
        ValueError: it is no pipe.
    """

    def __init__(self, descriptor: int) -> None:
        try:
            is_pipe = descriptor > 2 and stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        except OSError:
            is_pipe = False
        if not is_pipe:
            raise ValueError(f"descriptor {descriptor} is no pipe")
        os.set_inheritable(descriptor, False)
        os.set_blocking(descriptor, True)
        self._descriptor = descriptor

    def watch(self, on_end: Callable[[], None]) -> None:
        """Have ``on_end`` called on the running loop once the shell has ended.

        A thread waits for it, since it has to be noticed also when the loop does not turn: then this process kills
        itself, and the keeper all that it has started.
        """
        call = (asyncio.get_running_loop(), on_end)
        threading.Thread(target=self._wait, args=call, name="lifeline", daemon=True).start()

    def _wait(self, loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]) -> None:
        while os.read(self._descriptor, 4096):
            pass
        noticed = threading.Event()

        def notice() -> None:
            noticed.set()
            on_end()

        with contextlib.suppress(RuntimeError):  # the loop is closed, and the process about to end
            loop.call_soon_threadsafe(notice)
        if not noticed.wait(STUCK):
            os.write(2, b"the shell in front has ended and the loop does not turn; this host kills itself\n")
            faulthandler.dump_traceback(2)
            os.kill(os.getpid(), signal.SIGKILL)


def take_output() -> TextIO:
    """Standard output for the launcher alone; whatever else is printed in this process joins standard error."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "w", encoding="utf-8")


async def keep_short(descriptor: int = 2) -> None:
    """Look after the size of the file behind standard error until cancelled; for one that is appended to."""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        with contextlib.suppress(OSError):
            cut(descriptor)


def cut(descriptor: int) -> None:
    """Leave of a file that has become too long its end.

    Raises:
        OSError: it cannot be changed.
    """
    size = os.fstat(descriptor).st_size
    if size > LONGEST:
        end = os.pread(descriptor, KEPT, size - KEPT)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"(%d bytes were here)\n" % (size - len(end)) + end)

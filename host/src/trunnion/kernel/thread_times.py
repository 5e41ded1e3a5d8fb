"""What one thread has had of the processor, and how long it had to wait for one, as the kernel counts it."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import msgspec

LONGEST = 128
"""Bytes; three numbers are fewer."""


class Times(msgspec.Struct, frozen=True):
    """So far, of one thread.

    Attributes:
        cpu: seconds on a processor.
        delayed: seconds in which it could have run, but others had the processors.
        turns: how often it got one.
    """

    cpu: float = 0.0
    delayed: float = 0.0
    turns: int = 0


class ThreadTimes:
    """Reads them for one living thread of this process, from any thread.

    The source is ``/proc/<pid>/task/<tid>/schedstat``, see ``Documentation/scheduler/sched-stats.rst`` of Linux. A
    kernel built without it tells the processor time only.

    Args:
        ident: of the thread, as ``threading.get_ident()`` has it.
        native: the same as the kernel has it.
    """

    def __init__(self, ident: int, native: int) -> None:
        self._clock = time.pthread_getcpuclockid(ident)
        self._task = Path(f"/proc/self/task/{native}")
        self._file = -1
        with contextlib.suppress(OSError):
            self._file = os.open(self._task / "schedstat", os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> Times:
        """Look now.

        Raises:
            OSError: the thread has ended.
        """
        if self._file < 0:
            return Times(time.clock_gettime(self._clock))
        cpu, delayed, turns = os.pread(self._file, LONGEST, 0).split()
        return Times(int(cpu) / 1e9, int(delayed) / 1e9, int(turns))

    def asleep(self) -> bool:
        """Whether it waits for something other than a processor.

        Raises:
            OSError: the thread has ended.
        """
        state = (self._task / "stat").read_bytes().rpartition(b") ")[2][:1]
        return state != b"R"

    def close(self) -> None:
        """Read no more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

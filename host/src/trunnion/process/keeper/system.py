"""What the keeper and its minders ask of the operating system at start."""

from __future__ import annotations

import ctypes
import os
import signal
from types import FrameType

_PR_SET_CHILD_SUBREAPER = 36
IGNORED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""A keeper ends when its host does, never on a signal meant for the host's terminal or service."""

TO_DEFAULT = (*IGNORED, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)
"""What a started program must get back as it was: Python itself ignores two more."""

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Make orphaned descendants children of this process; see ``prctl(2)``, PR_SET_CHILD_SUBREAPER.

    Raises:
        OSError: the kernel has no such thing.
    """
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Nothing to do: the byte in the wake-up pipe has said it."""


def child_alarm() -> int:
    """A descriptor that becomes readable whenever a child has changed state."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, _noted)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def drain(alarm: int) -> None:
    """Empty the alarm before looking for children."""
    try:
        while os.read(alarm, 4096):
            pass
    except BlockingIOError:
        return

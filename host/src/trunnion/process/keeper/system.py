"""What the keeper and its minders ask of the operating system at start."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from types import FrameType

_PR_SET_CHILD_SUBREAPER = 36
_CLONE3 = 435
_CLONE_INTO_CGROUP = 0x200000000
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
_libc.syscall.restype = ctypes.c_long


def become_subreaper() -> None:
    """Make orphaned descendants children of this process; see ``prctl(2)``, PR_SET_CHILD_SUBREAPER.

    Raises:
        OSError: the kernel has no such thing.
    """
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def fork_into(folder: str) -> int:
    """fork(2) with the child born in a cgroup; see clone(2), CLONE_INTO_CGROUP.

    Moving a process that exists makes the kernel wait for all processors, which takes milliseconds; this does not. The
    interpreter is not told of the fork: it must have one thread, and the child do little before it becomes another
    program.

    Args:
        folder: the cgroup's directory.

    Returns:
        The child's pid, 0 in the child.

    Raises:
        OSError: the kernel has no such thing, or does not allow it here.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        words = struct.pack("11Q", _CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, descriptor)
        pid = int(_libc.syscall(ctypes.c_long(_CLONE3), words, ctypes.c_size_t(len(words))))
        number = ctypes.get_errno()
    finally:
        os.close(descriptor)
    if pid < 0:
        raise OSError(number, os.strerror(number))
    return pid


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

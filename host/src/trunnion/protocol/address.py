"""Where the local socket lies, how a path too long for the system's call is reached, and who is calling."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from trunnion.model.errors import Conflict

NAME = "host.sock"
"""The socket's name in the data directory's ``run/``."""

LONGEST = 107
"""What fits in ``sockaddr_un.sun_path`` with its terminating zero (unix(7))."""

_PEERCRED = struct.Struct("3i")


def socket_path(run: Path) -> Path:
    """The socket of the host whose run directory this is."""
    return run / NAME


@contextlib.contextmanager
def short(path: Path) -> Iterator[str]:
    """A spelling of ``path`` that fits in a socket address, valid inside the block.

    A long path goes through a descriptor of its directory: ``/proc/self/fd/N/name``.

    Raises:
        OSError: the directory cannot be opened.
    """
    if len(os.fsencode(path)) <= LONGEST:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def bind(path: Path) -> socket.socket:
    """Bind and listen, with mode 0600 from the first moment. A socket nobody serves is replaced.

    Raises:
        Conflict: something else is at the path, or another process serves it.
        OSError: the directory does not allow it.
    """
    clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # On Linux the file a bind creates takes the mode of the socket's own inode; a chmod afterwards
        # would leave a moment in which others could connect.
        os.fchmod(listener.fileno(), 0o600)
        with short(path) as address:
            listener.bind(address)
        listener.listen(1024)
    except BaseException:
        listener.close()
        raise
    return listener


def clear(path: Path) -> None:
    """Make way for a new socket: one that nobody serves is removed.

    Raises:
        Conflict: something else is at the path, or another process serves it.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise Conflict(f"{path} is in the way: it is not a socket; move it and start again")
    if is_served(path):
        raise Conflict(f"{path} is served by another process; stop that one first")
    path.unlink()


def is_served(path: Path) -> bool:
    """Whether a process accepts connections at ``path``."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe, short(path) as address:
            code = probe.connect_ex(address)
    except OSError:
        return False
    # EAGAIN: its queue of connections is full, so somebody owns it.
    return code in (0, errno.EAGAIN)


def remove(path: Path, listener: socket.socket, inode: int) -> None:
    """Close the listener and remove its file, unless the file is no longer its own."""
    listener.close()
    with contextlib.suppress(FileNotFoundError):
        if path.lstat().st_ino == inode:
            path.unlink()


def peer_uid(connected: socket.socket) -> int:
    """The uid of the process at the other end, as the kernel knows it."""
    _, uid, _ = _PEERCRED.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))
    return int(uid)

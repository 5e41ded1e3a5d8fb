"""Whether a configuration file can be relied on: it names programs to run, and it may hold secrets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from trunnion.model.errors import InvalidConfig

LARGEST = 16 * 1024 * 1024
"""Bytes; what is larger was not written by anybody as a configuration."""

_KINDS = {
    stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def read_trusted(path: Path) -> bytes:
    """The content of a file that only its owner, root or its group may change.

    Which group that is, is for the operator to say: container platforms mount files as root with a group of
    theirs. Who owns the file is not judged here, for whoever names it has looked.

    Raises:
        OSError: it is not there or cannot be read.
        InvalidConfig: every user may change it, it is no regular file, or it is too large.
    """
    # Without O_NONBLOCK the opening of a pipe would wait for somebody who writes.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _refuse(path, os.fstat(fd).st_mode)
        with open(fd, "rb", closefd=False) as file:
            content = file.read(LARGEST + 1)
    finally:
        os.close(fd)
    if len(content) > LARGEST:
        raise InvalidConfig(f"{path}: a configuration has {LARGEST} bytes at most")
    return content


def _refuse(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise InvalidConfig(f"{path}: the configuration is a regular file, and this is {kind}")
    if mode & stat.S_IWOTH:
        raise InvalidConfig(
            f"{path}: every user may change it (mode {stat.S_IMODE(mode):04o}), and with it what runs here; "
            f"look through it, then run: chmod o-w {path}"
        )


def refuse_shown_secret(path: Path, key: str) -> None:
    """Refuse a file with a secret in it that every user can read.

    A folder above it that others may not enter keeps it from them too.

    Raises:
        InvalidConfig: everybody can.
    """
    whole = path.resolve()
    if whole.stat().st_mode & stat.S_IROTH and all(above.stat().st_mode & stat.S_IXOTH for above in whole.parents):
        raise InvalidConfig(
            f"{path}: {key} is a secret and every user can read the file; replace the secret if somebody else may have "
            f"seen it, then run: chmod o-r {path}"
        )

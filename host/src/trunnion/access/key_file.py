"""The file of a key: for its owner alone, whole or not there, and known to be undamaged."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import msgspec

from trunnion.model.errors import InvalidConfig

LENGTH = 32
CHECK = 8
PRIVATE = 0o600


class Key(msgspec.Struct, frozen=True):
    """What is kept in a key file.

    Attributes:
        sealing: encrypts; changed with every rotation.
        digesting: makes keyed digests; stays, for digests are compared over days.
    """

    sealing: bytes
    digesting: bytes

    @property
    def id(self) -> bytes:
        """Tells keys apart, and nothing about them."""
        return hashlib.sha256(b"trunnion key id\0" + self.sealing).digest()[:4]

    def __repr__(self) -> str:
        return f"Key({self.id.hex()})"


def make_key(digesting: bytes = b"") -> Key:
    """A new key.

    Args:
        digesting: of the key it follows.
    """
    return Key(os.urandom(LENGTH), digesting or os.urandom(LENGTH))


def read_key(path: Path) -> Key | None:
    """The key in a file; None if there is no such file.

    Raises:
        InvalidConfig: others could read it, it is damaged, or cannot be read; the message says what to type.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidConfig(f"{path}: the key of the sealed secrets cannot be read: {error.strerror}") from None
    try:
        _refuse_open_to_others(path, os.fstat(descriptor))
        return _decoded(path, os.read(descriptor, 4 * LENGTH))
    finally:
        os.close(descriptor)


def write_key(path: Path, key: Key) -> None:
    """Put a key into a file, replacing what is there.

    It gets its name only when it is whole and on the disk: a host killed in between leaves no half a key.

    Raises:
        InvalidConfig: it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_encoded(key))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise InvalidConfig(f"{path}: the key of the sealed secrets cannot be written: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Have names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _encoded(key: Key) -> bytes:
    data = key.sealing + key.digesting
    return data + hashlib.sha256(data).digest()[:CHECK]


def _decoded(path: Path, content: bytes) -> Key:
    data = content[: 2 * LENGTH]
    if len(content) != 2 * LENGTH + CHECK or content[2 * LENGTH :] != hashlib.sha256(data).digest()[:CHECK]:
        raise InvalidConfig(
            f"{path}: the key of the sealed secrets is damaged ({len(content)} bytes): put back a copy of it, "
            f"or give up what is sealed: rm {path}"
        )
    return Key(data[:LENGTH], data[LENGTH:])


def _refuse_open_to_others(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise InvalidConfig(f"{path}: the key of the sealed secrets is no file: move it away")
    if status.st_uid not in {os.geteuid(), 0}:
        raise InvalidConfig(
            f"{path}: belongs to user id {status.st_uid}, not to the host's {os.geteuid()}; "
            f"if it is yours, run: chown {os.geteuid()} {path}"
        )
    if mode := stat.S_IMODE(status.st_mode) & 0o077:
        raise InvalidConfig(
            f"{path}: others can open it (mode {stat.S_IMODE(status.st_mode):04o}). Run: chmod 600 {path}"
            " and then, since it may have been copied: trunnion secrets rotate",
            {"mode": mode},
        )

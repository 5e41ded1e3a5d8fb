"""The data directory: what lies where, with which modes, and the lock that admits one host at a time."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from pathlib import Path

import msgspec

from trunnion.model.errors import Conflict, InvalidConfig, Unavailable

FOLDERS = ("db", "audit", "packages", "instances", "shared", "artifacts", "logs", "run")
PRIVATE = 0o700
_NAME_HOLDER_WITHIN = 1.0


class DataDir(msgspec.Struct, frozen=True):
    """The layout below one root. Making one touches nothing on disk."""

    root: Path

    @property
    def database(self) -> Path:
        """Runs, events and plugin state."""
        return self.root / "db" / "trunnion.sqlite"

    @property
    def audit(self) -> Path:
        """The audit trail."""
        return self.root / "audit"

    @property
    def packages(self) -> Path:
        """Installed driver and service packages."""
        return self.root / "packages"

    @property
    def instances(self) -> Path:
        """One folder for each configured driver or service."""
        return self.root / "instances"

    @property
    def shared(self) -> Path:
        """What instances share."""
        return self.root / "shared"

    @property
    def artifacts(self) -> Path:
        """Files kept with runs."""
        return self.root / "artifacts"

    @property
    def host_log(self) -> Path:
        """The host's own log, JSON lines."""
        return self.root / "logs" / "host.jsonl"

    @property
    def behind_log(self) -> Path:
        """What a host behind a shell writes to its standard error; made new at each start."""
        return self.root / "logs" / "up.log"

    @property
    def run(self) -> Path:
        """Sockets; only the owner may look inside."""
        return self.root / "run"

    @property
    def socket(self) -> Path:
        """Where a running host answers local clients."""
        return self.run / "host.sock"

    @property
    def lock_file(self) -> Path:
        """Locked while a host holds the directory; it names the holder."""
        return self.root / "host.lock"


class Holder(msgspec.Struct, frozen=True):
    """The process that holds a data directory; the start time tells it from a later one of the same pid."""

    pid: int
    start: int


class Hold:
    """A held data directory. ``release`` or the end of the process frees it."""

    def __init__(self, data: DataDir, fd: int) -> None:
        self.data = data
        self._fd = fd

    def release(self) -> None:
        """Let another host in. Doing so twice is harmless."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def hold(data: DataDir) -> Hold:
    """Take the data directory for this process, then make what is missing in it.

    The lock is an ``flock`` on a descriptor that no started program inherits, so it ends with this
    process however it dies. Whoever does not get it writes nothing.

    Raises:
        Conflict: another host holds it; the message names its pid, ``details`` have ``pid`` and ``socket``.
        InvalidConfig: it cannot be made or used, or a private part of it is open to others.
    """
    try:
        data.root.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        fd = _lock(data.lock_file)
    except OSError as error:
        raise InvalidConfig(f"{data.root}: not usable as data directory: {error.strerror}") from error
    if fd is None:
        raise _held_by_another(data)
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, msgspec.json.encode(Holder(os.getpid(), process_start(os.getpid()) or 0)), 0)
        _make_folders(data)
    except OSError as error:
        os.close(fd)
        raise Unavailable(f"{data.root}: cannot be prepared: {error.strerror}") from error
    except BaseException:
        os.close(fd)
        raise
    return Hold(data, fd)


def holder_of(data: DataDir) -> int | None:
    """The pid of the live host that holds the directory, None if there is none."""
    try:
        recorded = msgspec.json.decode(data.lock_file.read_bytes(), type=Holder)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return recorded.pid if process_start(recorded.pid) == recorded.start else None


def check_private(path: Path) -> None:
    """Refuse a file or folder with secrets that others can open.

    Raises:
        InvalidConfig: it is there, and its mode lets group or others in, or it belongs to another user.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    if status.st_uid not in {os.geteuid(), 0}:
        raise InvalidConfig(f"{path}: belongs to user id {status.st_uid}, not to the host's {os.geteuid()}")
    if mode := stat.S_IMODE(status.st_mode) & 0o077:
        fitting = stat.S_IMODE(status.st_mode) & ~mode
        raise InvalidConfig(
            f"{path}: others can open it (mode {stat.S_IMODE(status.st_mode):04o}); "
            f"replace secrets in it that may have been seen, then run: chmod {fitting:o} {path}"
        )


def process_start(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if it is gone or dead but not reaped.

    See proc(5), ``stat``: the state is field 3, the start time field 22, counted after the name in brackets.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def _lock(path: Path) -> int | None:
    """A descriptor that holds the lock, None if somebody else has it."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        if _is_same_file(fd, path):
            return fd
        os.close(fd)


def _is_same_file(fd: int, path: Path) -> bool:
    """Whether the locked file is still the one under the name: a lock on a replaced file protects nothing."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _held_by_another(data: DataDir) -> Conflict:
    """The holder may be between taking the lock and writing its pid, so wait for that, briefly."""
    until = time.monotonic() + _NAME_HOLDER_WITHIN
    while (pid := holder_of(data)) is None and time.monotonic() < until:
        time.sleep(0.005)
    name = f"process {pid}" if pid else "another process"
    return Conflict(
        f"{data.root}: held by {name}: one host at a time uses a data directory. "
        f"Use `trunnion run` to reach it, stop it first, or give another --data-dir",
        {"pid": pid, "socket": str(data.socket), "data_dir": str(data.root)},
    )


def _make_folders(data: DataDir) -> None:
    for name in FOLDERS:
        (data.root / name).mkdir(mode=PRIVATE, exist_ok=True)
    for folder in (data.run, data.audit):
        check_private(folder)

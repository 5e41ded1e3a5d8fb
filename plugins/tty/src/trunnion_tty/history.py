"""Lines of earlier shells, in a file of the person's own.

A line that begins with a blank is not kept. One JSON text a line, so that what has several lines stays one entry.
Several shells may add to the file at once, while another one cuts it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import platformdirs
from prompt_toolkit.history import History

NAME = "shell_history"

PATIENCE = 0.2
"""Seconds that a shell which is about to write waits for one that cuts the file: a stopped one must not hold it up."""


def default_path() -> Path | None:
    """Where history is kept: the person's own state directory; None for one who has no home."""
    try:
        return platformdirs.user_state_path("trunnion") / NAME
    except RuntimeError:
        return None


class HistoryFile(History):
    """History that is kept, newest last.

    Args:
        path: the file, made with mode 0600; None keeps nothing beyond this shell. What is no file of its own, a link
            for instance, is neither read nor written.
        most: lines kept; more are cut when a shell begins.
    """

    def __init__(self, path: Path | None, most: int) -> None:
        super().__init__()
        self._path = path if most > 0 else None
        self._most = most
        self._begun = False
        self._held: str | None = None

    def append_string(self, string: str) -> None:
        """Hold a line that was entered; ``keep`` remembers it, once it is known to be one for that."""
        self._held = string

    def keep(self) -> None:
        """Remember the line that was entered last."""
        held, self._held = self._held, None
        if held is not None:
            self.add(held)

    def add(self, line: str) -> None:
        """Remember a line, unless it begins with a blank."""
        if not line[:1].isspace():
            super().append_string(line)

    def load_history_strings(self) -> Iterable[str]:
        """All lines that are kept, newest first."""
        if self._path is None:
            return []
        lines = self._read_and_cut(self._path)
        return list(reversed(lines[-self._most :]))

    def _read_and_cut(self, path: Path) -> list[str]:
        try:
            with _opened(path, os.O_RDONLY) as descriptor:
                lines = _lines_of(descriptor)
                # A quarter more than is kept, so that not every shell writes the whole file anew.
                if len(lines) > self._most + self._most // 4:
                    with contextlib.suppress(OSError):
                        _cut(path, descriptor, self._most)
                return lines
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        """Add one line to the file. History is no reason to fail: where it cannot be kept it is not."""
        if self._path is None:
            return
        # What a shell left that was killed while it wrote must not take this line with it.
        text = ("" if self._begun else "\n") + json.dumps(string) + "\n"
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _append(self._path, text.encode())
        except OSError:
            self._path = None
        self._begun = True


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """A file of the person's own; never a link, and nothing that would have to be waited for.

    Raises:
        OSError: it is none.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no file")
        yield descriptor
    finally:
        os.close(descriptor)


def _append(path: Path, data: bytes) -> None:
    """Write at once, so that lines of several shells do not mix; not into a file that was just cut."""
    while True:
        with _opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as descriptor:
            _locked(descriptor, fcntl.LOCK_SH, PATIENCE)
            if not _is_there(path, descriptor):
                continue
            os.fchmod(descriptor, 0o600)  # one that is older than this rule may be open to others
            if os.write(descriptor, data) < len(data):
                raise OSError(f"{path} is full")
            return


def _is_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _locked(descriptor: int, kind: int, patience: float) -> bool:
    """Lock a file until it is closed; False if somebody else holds it for too long, or files cannot be locked there."""
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.005)
        except OSError:
            return False
        else:
            return True


def _lines_of(descriptor: int) -> list[str]:
    """The lines of a file; what is no line of ours is passed over."""
    with os.fdopen(os.dup(descriptor), encoding="utf-8", errors="replace", newline="\n") as file:
        file.seek(0)
        entries = [_entry(line) for line in file]
    return [entry for entry in entries if entry is not None]


def _entry(line: str) -> str | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, str) else None


def _cut(path: Path, descriptor: int, most: int) -> None:
    """Put the newest lines in place of the file; whoever adds one meanwhile waits, and adds it to the new one."""
    if not _locked(descriptor, fcntl.LOCK_EX, patience=0) or not _is_there(path, descriptor):
        return
    beside = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(beside, flags, 0o600), "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in _lines_of(descriptor)[-most:])
    beside.replace(path)

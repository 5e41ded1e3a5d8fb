"""Lines of earlier shells, in a file of the person's own.

A line that begins with a blank is not kept. One JSON text a line, so that what has several lines stays one entry.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import platformdirs
from prompt_toolkit.history import History

NAME = "shell_history"


def default_path() -> Path:
    """Where history is kept: the person's own state directory."""
    return platformdirs.user_state_path("trunnion") / NAME


class HistoryFile(History):
    """History that is kept, newest last; several shells may add to one file.

    Args:
        path: the file, made with mode 0600; None keeps nothing beyond this shell.
        most: lines kept; more are cut when a shell begins.
    """

    def __init__(self, path: Path | None, most: int) -> None:
        super().__init__()
        self._path = path if most > 0 else None
        self._most = most

    def append_string(self, string: str) -> None:
        """Remember a line, unless it begins with a blank."""
        if not string[:1].isspace():
            super().append_string(string)

    def load_history_strings(self) -> Iterable[str]:
        """All lines that are kept, newest first."""
        if self._path is None:
            return []
        lines = _read(self._path)
        if len(lines) > self._most + self._most // 4:
            lines = lines[-self._most :]
            _replace(self._path, lines)
        return list(reversed(lines[-self._most :]))

    def store_string(self, string: str) -> None:
        """Add one line to the file. History is no reason to fail: where it cannot be kept it is not."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(
                self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError:
            self._path = None
            return
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(string) + "\n")


def _read(path: Path) -> list[str]:
    """The lines of a file; what is no line of ours is passed over."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    found: list[str] = []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, str):
            found.append(entry)
    return found


def _replace(path: Path, lines: list[str]) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)

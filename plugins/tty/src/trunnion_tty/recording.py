"""What was done, written down as lines that ``source`` reads."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TextIO

from trunnion import Conflict, Unavailable

LONGEST = 64 << 20
"""Characters of a file of lines: one that never ends, such as ``/dev/zero``, would take all memory."""


def read_lines(path: Path) -> str:
    """The text of a file of lines, as it was written: what stands within quotes stays what it is.

    Raises:
        Unavailable: it cannot be read, or is no text.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            text = file.read(LONGEST + 1)
    except (OSError, ValueError) as error:  # it is not there, no text, or its name is none
        raise Unavailable(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(text) > LONGEST:
        raise Unavailable(f"{path} is no file of lines: it holds more than {LONGEST >> 20} Mi characters")
    return text


class Recorder:
    """Writes lines to one file at a time.

    A line that failed is there as a comment: done again, the file should end well. Secrets are never in a line.
    """

    def __init__(self) -> None:
        self._file: TextIO | None = None
        self.path: Path | None = None

    def begin(self, path: Path, console: str) -> None:
        """Record to a new file from now on.

        Args:
            path: where to; nothing may be there yet.
            console: the console its first line is typed in.

        Raises:
            Conflict: something is there already, or another file is being recorded to.
            Unavailable: it cannot be made.
        """
        if self.path is not None:
            raise Conflict(f"{self.path} is being recorded to; end that first with: record off")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            # What cannot be encoded was refused, so that it stands in a comment only.
            self._file = os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8", errors="backslashreplace")
        except FileExistsError:
            raise Conflict(f"{path} is there already; choose another name, or remove it first") from None
        except (OSError, ValueError) as error:
            raise Unavailable(f"{path} cannot be written: {getattr(error, 'strerror', error)}") from None
        self.path = path.absolute()
        if console:
            self.done(f"use .{console}", 0)

    def done(self, line: str, status: int) -> None:
        """One line was done, with this exit status.

        Raises:
            Unavailable: it cannot be written; recording has ended then.
        """
        if self._file is None:
            return
        continued = line.replace("\n", "\n# ") if status else line
        text = f"# failed with status {status}: {continued}\n" if status else f"{line}\n"
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            path = self.end()
            raise Unavailable(f"{path} cannot be written any more: {error.strerror}; recording has ended") from None

    def end(self) -> Path | None:
        """Stop recording; returns the file, None if there was none."""
        path, file, self.path, self._file = self.path, self._file, None, None
        if file is not None:
            with contextlib.suppress(OSError):  # what could not be written was told when it was
                file.close()
        return path

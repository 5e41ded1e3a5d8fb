"""What clients were told, in the order in which they were told it: JSON lines, each written at once.

Several processes append to one file; a line is one ``write`` to a descriptor opened for appending, so
lines never mix, and a line is there before the client does the next thing.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path


class History:
    """A file of what somebody was told.

    Args:
        path: the file, appended to.
        who: put in every line.
    """

    def __init__(self, path: Path, who: str) -> None:
        self._who = who
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def tell(self, what: str, **facts: object) -> None:
        """Write one line."""
        line = json.dumps({"what": what, "who": self._who, "at": time.monotonic(), **facts}).encode() + b"\n"
        if os.write(self._fd, line) != len(line):
            raise OSError("the history file took only part of a line")

    def close(self) -> None:
        """No more lines."""
        os.close(self._fd)

"""The thread that compresses the output of ended runs: in its own time, and behind everything else."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from trunnion.store.outputs import pack, remove_partial

AFTER: Final = 10.0
"""Seconds after a run's end, in which somebody may still read what it said or remove it."""

NICENESS: Final = 19


class OutputPacker:
    """Compresses one output after the other. Most hosts never have any, so the thread starts with the first.

    Args:
        root: the folder with the folders of runs.
        after: seconds to wait before each.
    """

    def __init__(self, root: Path, after: float = AFTER) -> None:
        self._root = root
        self._after = after
        self._due: deque[tuple[float, str]] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def add(self, run_id: str) -> None:
        """The output of a run that has ended is to be compressed."""
        self._due.append((time.monotonic() + self._after, run_id))
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="trunnion-store-outputs", daemon=True)
            self._thread.start()
        self._wake.set()

    def stop(self) -> None:
        """End the thread; what it has not come to, the next start finds."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):  # a thread of Linux has a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        with suppress(OSError):
            remove_partial(self._root)
        while not self._stopping:
            self._wake.wait(self._due[0][0] - time.monotonic() if self._due else None)
            self._wake.clear()
            while self._due and self._due[0][0] <= time.monotonic() and not self._stopping:
                _, run_id = self._due.popleft()
                with suppress(OSError):  # a full or failing disk: it stays as it is until the next start
                    pack(self._root, run_id, lambda: self._stopping)

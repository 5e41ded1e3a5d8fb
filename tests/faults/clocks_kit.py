"""Hosts whose clocks can be moved while they run, from outside or from within."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from faults_kit import Ground, Up

from trunnion.kernel.clock import SystemClock

STATE = struct.Struct("=qq")
DAY = 86_400.0


class Clocks:
    """The switch: seconds that are added to the clocks of every process started with ``environment``.

    Args:
        folder: where the library is made; the test is skipped where there is no compiler.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler here, so no clock can be moved")
        library, state = folder / "moved_clock.so", folder / "moved_clock"
        source = Path(__file__).with_name("moved_clock.c")
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:2000]
        state.write_bytes(STATE.pack(0, 0))
        with state.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), STATE.size)
        self.environment = {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(state)}

    def move(self, *, wall: float, growing: float = 0.0) -> None:
        """Set how far the clocks are off, in seconds: the wall clock, and those that should only ever grow."""
        self._shared[:] = STATE.pack(int(wall * 1e6), int(growing * 1e6))

    def close(self) -> None:
        self._shared.close()


class Moved(SystemClock):
    """The machine's clock, set by hand; for a host in the test's own process."""

    ahead = 0.0

    def utc(self) -> int:
        return super().utc() + int(self.ahead * 1e6)


def up(ground: Ground, clocks: Clocks) -> Up:
    """Start a host that goes by these clocks."""
    return ground.start(**clocks.environment).wait_ready()

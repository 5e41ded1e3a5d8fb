"""The witness: a command of somebody's choice that takes checkpoints elsewhere.

What it has kept shows what no verifier sees from the log alone: that its end was cut off, or all of it written anew by
somebody who has the key.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from trunnion import Json
from trunnion_audit.taking_up import CHECKPOINT

FIRST_DELAY: Final = 1.0
MOST_DELAY: Final = 60.0
MOST_SAID: Final = 2000
"""Bytes kept of what a command says when it fails."""


class WitnessSettings(msgspec.Struct, frozen=True):
    """Who takes checkpoints elsewhere.

    Attributes:
        command: a program and its arguments; no shell reads them.
        timeout: seconds it may take.
    """

    command: tuple[str, ...]
    timeout: float = 30.0


class _Known(msgspec.Struct):
    n: int
    host_id: str
    kind: str


_known = msgspec.json.Decoder(_Known).decode


class Witness:
    """Hands each new checkpoint to the command; of several that wait, the last one, which speaks for all before it.

    It goes by the checkpoint beside the log, which is never later than what is on the disk.

    Args:
        settings: see there.
        folder: of the log.
        host_id: whose log it is.
        report: told when the command begins to fail, and when it is well again.
    """

    def __init__(
        self, settings: WitnessSettings, folder: Path, host_id: str, report: Callable[[str, str], None]
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._host_id = host_id
        self._report = report
        self._told = b""
        self._n = 0
        self._delay = 0.0
        self._due = 0.0
        self.failures = 0
        self.reason = ""

    def shown(self) -> dict[str, Json]:
        """How it fares, for operators."""
        return {
            "command": self._settings.command[0],
            "state": "failing" if self.reason else "well",
            "reason": self.reason,
            "checkpoint": self._n or None,
            "failures": self.failures,
        }

    async def look(self) -> bool:
        """Hand on the checkpoint there is, unless that is done or it is too early to try again.

        Returns:
            Whether the command took it now.
        """
        if time.monotonic() < self._due:
            return False
        line = self._checkpoint()
        if not line or line == self._told:
            return False
        problem = await hand_over(self._settings, line, self._folder.parent)
        if problem:
            self._failed(problem)
            return False
        self._told, self._n = line, _known(line).n
        self._delay = self._due = 0.0
        if self.reason:
            self.reason = ""
            self._report("witness.healed", f"the witness of the audit takes checkpoints again, now {self._n}")
        return True

    def _checkpoint(self) -> bytes:
        """The line beside the log; nothing where there is none that could be this log's."""
        try:
            line = (self._folder / CHECKPOINT).read_bytes()
            known = _known(line)
        except (OSError, msgspec.DecodeError):
            return b""
        return line if (known.kind, known.host_id) == ("checkpoint", self._host_id) else b""

    def _failed(self, problem: str) -> None:
        self.failures += 1
        if not self.reason:
            text = f"the witness of the audit, {self._settings.command[0]}, {problem}; it is tried again"
            self._report("witness.failed", text)
        self.reason = problem
        self._delay = min(MOST_DELAY, self._delay * 2 or FIRST_DELAY)
        self._due = time.monotonic() + self._delay


async def hand_over(settings: WitnessSettings, line: bytes, place: Path) -> str:
    """Give a line to the command; returns what went wrong, nothing if it took it.

    Args:
        settings: the command and its deadline.
        line: with its LF.
        place: the folder it runs in.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        program = await asyncio.create_subprocess_exec(
            *settings.command, stdin=pipe, stdout=asyncio.subprocess.DEVNULL, stderr=pipe, cwd=place,
            start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        return f"could not be started: {error}"
    try:
        async with asyncio.timeout(settings.timeout):
            said = await _talk(program, line)
            status = await program.wait()
    except TimeoutError:
        return f"did not end within {settings.timeout:g} s"
    finally:
        await _ended(program)
    if status == 0:
        return ""
    how = f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
    return f"{how}: {said}" if said else how


async def _talk(program: asyncio.subprocess.Process, line: bytes) -> str:
    """Write the line, and read what it complains of: the end of that."""
    assert program.stdin is not None and program.stderr is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        program.stdin.write(line)
        await program.stdin.drain()
    program.stdin.close()
    said = b""
    while piece := await program.stderr.read(4096):
        said = (said + piece)[-MOST_SAID:]
    return " ".join(said.decode(errors="replace").split())


async def _ended(program: asyncio.subprocess.Process) -> None:
    """See to it that the command and what it started are gone."""
    import os
    import signal

    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGKILL)
    if program.returncode is None:
        await program.wait()

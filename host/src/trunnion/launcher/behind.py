"""A host behind this process: its child in a session of its own, which ends when this process does.

The terminal, its Ctrl-C and its hang-up stay with whoever is in front. Between the two there is a pipe, the lifeline:
this process holds its only writing end, so that the host sees the end of it however this process goes, and stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from trunnion.config.data_dir import PRIVATE, DataDir, holder_of
from trunnion.launcher.place import locate
from trunnion.model.errors import DeadlineExceeded, ErrorInfo, TrunnionError, Unavailable, error_from_info
from trunnion.model.json import Json, decode

if TYPE_CHECKING:
    from trunnion.launcher.options import Options

STARTING: Final = 30.0
"""Seconds a host has to come up."""
UNDOING: Final = 5.0
"""Seconds a start that is given up has to take itself back."""
HURRY: Final = 10.0
"""Seconds a host has to end once it was told to wait for nothing."""
TAIL: Final = 4096
"""Bytes at the end of what it wrote to standard error that are told."""

_PROGRAM: Final = "from trunnion.launcher.main import main; main()"


class HostBehind:
    """A host that this process started. Make one with ``await HostBehind.start(options)``.

    Attributes:
        pid: of its process.
        socket: where it answers once it is up.
        log: the file with what it writes to its standard error; None where that has no name.
        status: what it said when it was up, as ``host.status`` answers; empty before.
        how: how it ended, as ``"exit status 1"`` or ``"killed by SIGKILL"``; ``""`` while it runs.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], data: DataDir, *, lifeline: int, errors: int, log: Path | None
    ) -> None:
        self.pid = process.pid
        self.socket = data.socket
        self.log = log
        self.status: Mapping[str, Json] = {}
        self.how = ""
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)
        self._lifeline = lifeline
        self._errors = errors
        self._said = b""
        self._words = ""
        self._settled: asyncio.Event | None = None
        self._gone: asyncio.Event | None = None
        self._asked = 0
        self._due: float | None = None

    @classmethod
    async def start(cls, options: Options, *, timeout: float = STARTING) -> HostBehind:
        """Start a host with these options and wait until it is up.

        Args:
            options: the global options it is to have.
            timeout: seconds it has.

        Raises:
            Conflict: another host holds the data directory; ``details`` have its ``pid`` and ``socket``.
            DeadlineExceeded: it was not up in time, and was stopped.
            TrunnionError: it could not start, in its own words.
        """
        behind = cls.launch(options)
        await behind.up(timeout)
        return behind

    @classmethod
    def launch(cls, options: Options) -> HostBehind:
        """Start its process and return at once, so that it starts while this one is busy; then await ``up``.

        Raises:
            InvalidConfig: the configuration cannot be read.
            Unavailable: the system does not start another process.
        """
        data = locate(options).data
        try:
            near, far = os.pipe()
            errors, log = _new_log(data)
            words = [*_interpreter(), *options.words, "up", "--json", f"--lifeline={near}"]
            try:
                process = subprocess.Popen(
                    words,
                    bufsize=0,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    pass_fds=[near],
                    start_new_session=True,
                )
            except BaseException:
                os.close(far)
                os.close(errors)
                raise
            finally:
                os.close(near)
        except OSError as error:
            raise Unavailable(f"no process can be started for the host: {error.strerror}") from error
        return cls(process, data, lifeline=far, errors=errors, log=log)

    async def up(self, timeout: float = STARTING) -> None:
        """Wait until it is up; whatever keeps it from that, it is gone when this returns.

        Args:
            timeout: seconds it has from now on.

        Raises:
            Conflict, DeadlineExceeded, TrunnionError: as ``start`` does.
        """
        self._watch()
        assert self._settled is not None
        try:
            async with asyncio.timeout(timeout):
                await self._settled.wait()
        except TimeoutError:
            words = _told(self.last_words())
            await self.stop(UNDOING)
            raise DeadlineExceeded(f"the host was not up within {timeout:g} s and was stopped{words}") from None
        except BaseException:
            await self.stop(UNDOING)
            raise
        if not self.status:
            raise self._failure()
        if why := _unreachable(self.status):
            await self.stop(UNDOING)
            raise Unavailable(f"the host came up, but nobody can reach it from here, so it was stopped: {why}")

    async def ended(self) -> str:
        """Wait until it has ended, for whatever reason; returns how, as ``how`` says it."""
        await self._watch().wait()
        return self.how

    async def stop(self, patience: float | None = None) -> None:
        """Have it stop in order, as at SIGTERM, and wait until it has ended.

        When it is called once more meanwhile, or the patience ends, the host is told to wait for nothing; after
        that, or when it is called a third time, it is killed, and all it started with it.

        Args:
            patience: seconds; None waits as long as the host takes.
        """
        gone, loop = self._watch(), asyncio.get_running_loop()
        self._insist(patience)
        while not gone.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._due):
                    await gone.wait()
            if not gone.is_set() and self._due is not None and loop.time() >= self._due:
                self._insist(patience)

    def last_words(self) -> str:
        """The end of what it wrote to its standard error."""
        if self._errors >= 0:
            size = os.fstat(self._errors).st_size
            tail = os.pread(self._errors, TAIL, max(0, size - TAIL))
            self._words = tail.decode("utf-8", "replace").strip()
        return self._words

    def _insist(self, patience: float | None) -> None:
        """The next step towards its end, and when the one after that is due."""
        self._asked += 1
        if self._asked == 1:
            self._let_go()
            wait = patience
        elif self._asked == 2:
            self._process.send_signal(signal.SIGTERM)
            wait = HURRY
        else:
            self._process.kill()
            wait = None
        self._due = None if wait is None else asyncio.get_running_loop().time() + wait

    def _let_go(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    # -- what it tells ----------------------------------------------------------------------------

    def _watch(self) -> asyncio.Event:
        """Notice from now on what it says and when it ends; the event is set when it has ended."""
        if self._gone is None:
            self._gone, self._settled = asyncio.Event(), asyncio.Event()
            loop = asyncio.get_running_loop()
            loop.add_reader(self._pidfd, self._reap)
            loop.add_reader(self._output, self._read)
        return self._gone

    @property
    def _output(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def _read(self) -> None:
        """Take what it says on standard output, up to the line that says it is up."""
        assert self._process.stdout is not None
        assert self._settled is not None
        data = os.read(self._output, 65_536)
        self._said += data
        self.status = next(filter(None, map(self._status_in, self._said.split(b"\n")[:-1])), {})
        if self.status or not data:
            asyncio.get_running_loop().remove_reader(self._output)
            self._process.stdout.close()
        if self.status:
            self._settled.set()

    def _status_in(self, line: bytes) -> Mapping[str, Json]:
        """The status in a line; whatever else was printed before has none."""
        with contextlib.suppress(ValueError, RecursionError):
            value = decode(line)
            if isinstance(value, Mapping) and value.get("pid") == self.pid:
                return value
        return {}

    def _reap(self) -> None:
        assert self._gone is not None
        assert self._settled is not None
        assert self._process.stdout is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if not self._process.stdout.closed:
            loop.remove_reader(self._output)
            self._process.stdout.close()
        self.how = _in_words(self._process.wait())
        self.last_words()
        os.close(self._errors)
        self._errors = -1
        self._let_go()
        self._settled.set()
        self._gone.set()

    def _failure(self) -> TrunnionError:
        """Why it could not start: the error it wrote last, else what is known of its end."""
        for line in reversed(self._words.splitlines()):
            with contextlib.suppress(msgspec.MsgspecError, RecursionError):
                return error_from_info(msgspec.json.decode(line, type=ErrorInfo))
        where = f"; see {self.log}" if self.log else ""
        return Unavailable(f"the host ended as it started: {self.how}{_told(self._words)}{where}")


def _unreachable(status: Mapping[str, Json]) -> str:
    """Why a host does not answer at its local socket, ``""`` where it does, or a plugin keeps it from saying so."""
    parts = status.get("frontends")
    if not isinstance(parts, Sequence):
        return ""
    for part in parts:
        if isinstance(part, Mapping) and part.get("name") == "socket":
            return "" if part.get("status") == "ready" else str(part.get("reason") or part.get("status"))
    return "its local socket is switched off, see [frontends] in the configuration"


def _told(words: str) -> str:
    """The last line it wrote, as part of a message."""
    return f"; its last words: {words.splitlines()[-1]}" if words else ""


def _in_words(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _interpreter() -> list[str]:
    """The words that call the same program, in an interpreter that finds the same modules as this one."""
    flags = {"-E": sys.flags.ignore_environment, "-s": sys.flags.no_user_site}
    return [sys.executable, "-P", *(flag for flag, is_set in flags.items() if is_set), "-c", _PROGRAM]


def _new_log(data: DataDir) -> tuple[int, Path | None]:
    """A file for its standard error, and its name.

    It has none while another host holds the data directory, whose file it would replace, nor where none can be made:
    then it lies in memory, and the host itself says what is wrong with the directory.
    """
    path = data.behind_log
    if holder_of(data) is None:
        with contextlib.suppress(OSError):
            for folder in (data.root, path.parent):
                folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            return os.open(path, flags, 0o600), path
    nameless = os.memfd_create(path.name)
    fcntl.fcntl(nameless, fcntl.F_SETFL, os.O_APPEND)
    return nameless, None

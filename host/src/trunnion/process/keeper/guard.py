"""The guard: the process above the keeper, which only matters when the keeper is killed.

The keeper is the ancestor that inherits what a killed minder leaves behind. Were it the topmost one, then the system's
first process would inherit from whoever is killed together with it. So the keeper has a parent that does nothing
but wait, and so has no reason to die: what descends from a killed keeper becomes its own.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time

from trunnion.process.keeper import cgroups, system, tree

FIRST_ROUND, LAST_ROUND = 0.02, 1.0
PATIENCE = 3.0
"""Seconds that minders without a keeper get to clear up once the host is gone."""


def stand_by(host: socket.socket, root: str) -> None:
    """Fork. It returns in the child, the keeper to be; the parent becomes its guard and leaves with it.

    Args:
        host: the keeper's socket; only the child keeps it.
        root: the cgroup below which trees get theirs, empty for none.
    """
    parent = os.getppid()
    keeper = os.fork()
    if keeper == 0:
        return
    status = 1
    try:
        host.close()
        Guard(parent, keeper, root).run()
        status = 0
    finally:
        os._exit(status)


class Guard:
    """Waits for the keeper; when that ends, for whatever it leaves.

    Args:
        host: pid of the host.
        keeper: pid of the keeper.
        root: the cgroup below which trees get theirs, empty for none.
    """

    def __init__(self, host: int, keeper: int, root: str) -> None:
        self._host = host
        self._keeper = keeper
        self._root = root
        self._alarm = system.child_alarm()
        self._words = _words(os.getpid())
        self._cull = tree.Cull(os.getpid())
        self._pause: float | None = None
        self._leave_at = float("inf")

    def run(self) -> None:
        """Until nothing descends from here."""
        poll = select.poll()
        poll.register(self._alarm, select.POLLIN)
        while self._children_left():
            if self._pause is not None:
                self._clear_up()
            poll.poll(None if self._pause is None else self._pause * 1000)
            system.drain(self._alarm)
        if self._root and self._pause is not None:
            cgroups.sweep(self._root)
            cgroups.close(self._root)

    def _children_left(self) -> bool:
        """Wait for those that have ended; whether there are others."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self._pause = FIRST_ROUND if pid == self._keeper or self._pause is not None else None

    def _clear_up(self) -> None:
        """Kill what has no minder any more. Minders go on, as long as their host does."""
        children = tree.by_parent().get(os.getpid(), ())
        minders = {seen.pid for seen in children if not seen.zombie and _words(seen.pid) == self._words}
        self._cull.round(skip=minders)
        self._pause = min((self._pause or FIRST_ROUND) * 2, LAST_ROUND)
        if os.getppid() != self._host:
            self._leave_at = min(self._leave_at, time.monotonic() + PATIENCE)
        if time.monotonic() > self._leave_at:
            for pid in minders:
                os.kill(pid, signal.SIGKILL)


def _words(pid: int) -> bytes:
    """The command line of a process; forks of one program share it."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:  # noqa: PTH123 - see tree.py
            return file.readall()
    except OSError:
        return b""

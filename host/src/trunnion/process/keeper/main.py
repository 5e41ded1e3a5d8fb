"""The keeper: forks minders and takes over what a killed minder leaves behind.

It is started once by the host with a socket, over which each message carries the control socket of one
minder to be. It ends when that socket closes, after its minders have. Above it is a guard, see ``guard``.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time

from trunnion.process.keeper import cgroups, frames, guard, system, tree
from trunnion.process.keeper.minder import Minder

FIRST_SWEEP, LAST_SWEEP = 0.02, 2.0
PATIENCE = 3.0
"""Seconds the minders get to clear up once the host is gone; a stopped one is then killed and replaced by us."""


class Keeper:
    """The loop of the keeper.

    Args:
        host: its socket to the host.
        root: the cgroup below which trees get theirs, empty for none.
    """

    def __init__(self, host: socket.socket, root: str) -> None:
        self._host = host
        self._root = root if root and cgroups.usable(root) == 0 else ""
        self._alarm = system.child_alarm()
        self._minders: set[int] = set()
        self._strays = tree.Cull(os.getpid()) if self._root else None
        self._pause = FIRST_SWEEP
        self._leave_at: float | None = None

    def run(self) -> None:
        """Serve until the host is gone and nothing is left to look after."""
        poll = select.poll()
        poll.register(self._host, select.POLLIN)
        poll.register(self._alarm, select.POLLIN)
        while self._needed():
            for descriptor, _ in poll.poll(self._patience()):
                if descriptor == self._alarm:
                    system.drain(self._alarm)
                    self._reap()
                elif not self._serve():
                    poll.unregister(self._host)
                    self._leave_at = time.monotonic() + PATIENCE
            self._sweep()
            self._insist()
        if self._root:
            cgroups.sweep(self._root)
            cgroups.close(self._root)

    def _needed(self) -> bool:
        if self._leave_at is None:
            return True
        overdue = time.monotonic() > self._leave_at + PATIENCE
        return bool(self._minders or self._strays) and not overdue

    def _patience(self) -> float | None:
        if self._strays is not None:
            return self._pause * 1000
        return PATIENCE * 1000 if self._leave_at is not None else None

    def _serve(self) -> bool:
        try:
            data, ancillary, _, _ = self._host.recvmsg(64, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return False
        for _, _, payload in ancillary:
            for descriptor in memoryview(payload).cast("i").tolist():
                with socket.socket(fileno=descriptor) as control:
                    self._fork(control)
        return bool(data)

    def _fork(self, control: socket.socket) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            control.sendall(frames.pack(("failed", "fork", error.errno or 0, "minder")))
            return
        if pid == 0:
            self._mind(control)
        self._minders.add(pid)

    def _mind(self, control: socket.socket) -> None:
        """In the fork: be a minder, and never return into the keeper's loop."""
        keeper, status = os.getppid(), 1
        try:
            os.setsid()
            os.close(self._alarm)
            os.close(signal.set_wakeup_fd(-1))
            self._host.close()
            system.become_subreaper()
            status = Minder(control, system.child_alarm(), keeper, self._root).run()
        except Exception:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._minders:
                self._minders.remove(pid)
                if status != 0:
                    self._strays = self._strays or tree.Cull(os.getpid())
                    self._pause = FIRST_SWEEP

    def _sweep(self) -> None:
        """Kill what came to us because its minder ended before it did, and what a keeper before us left."""
        if self._strays is None:
            return
        self._pause = min(self._pause * 2, LAST_SWEEP)
        left = self._strays.round(skip=self._minders)
        if self._root:
            left += cgroups.sweep(self._root)
        if left == 0:
            self._strays = None

    def _insist(self) -> None:
        if self._leave_at is not None and time.monotonic() > self._leave_at:
            for pid in self._minders:
                os.kill(pid, signal.SIGKILL)


def main(descriptor: int, root: str) -> None:
    """Run the keeper on an inherited socket, with a cgroup for its trees, if there is one."""
    for number in system.IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    system.become_subreaper()
    os.chdir("/")
    host = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    gc.disable()
    gc.freeze()
    guard.stand_by(host, root)
    system.become_subreaper()
    Keeper(host, root).run()

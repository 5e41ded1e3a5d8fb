"""A minder: looks after one program at a time, with all its descendants, for a host at the other end of a socket.

It is the subreaper of what it starts, so every descendant that loses its parent becomes its child: when it
has no child left, nothing of the program is left, and it can take the next one. When the socket closes,
the host is gone or wants no more of it: everything below is killed at once.

From the host: ``spawn request`` (with three descriptors), ``stop grace``, ``kill``, ``signal number``, ``tree``.
To the host: ``started pid start minder keeper grouped``, ``failed stage errno subject``, ``step name seconds count``,
``exited code signal core``, ``gone killed left user system max_rss limit``, ``tree [(pid, start), ...]``.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import socket
import time
from typing import cast

from trunnion.process.keeper import frames, launch, system, tree
from trunnion.process.keeper.cgroups import Group, GroupError

STDIO = 3
GIVE_UP = 5.0
"""Seconds of killing after which what is left (a process stuck in the kernel, or of another user) is the keeper's."""
FIRST_ROUND, LAST_ROUND = 0.005, 0.2
_CHUNK = 65536
_NEVER = float("inf")


class Job:
    """One program from start until nothing of it is left."""

    def __init__(self, pid: int, group: Group | None) -> None:
        self.pid = pid
        self.group = group
        seen = tree.look(pid)
        self.leader = (pid, seen.start if seen else 0)
        self.born = time.monotonic()
        self.leading = True
        self.kill_at = _NEVER
        self.culling: tree.Cull | None = None
        self.give_up_at = _NEVER
        self.pause = FIRST_ROUND
        self.user = self.system = 0.0
        self.max_rss = 0
        self.alive = 0

    def elapsed(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.born

    def living(self) -> list[tree.Seen]:
        """Its processes, itself first; those below this one, where they have no cgroup."""
        found = self.group.living() if self.group else tree.living(os.getpid())
        return sorted(found, key=lambda seen: (seen.pid != self.pid, seen.start, seen.pid))


class Minder:
    """The loop of one minder.

    Args:
        control: its socket to the host.
        alarm: tells of children.
        keeper: pid of the process that forked this one.
        root: below which each program gets a cgroup, empty for none.
    """

    def __init__(self, control: socket.socket, alarm: int, keeper: int, root: str) -> None:
        self._control = control
        self._alarm = alarm
        self._keeper = keeper
        self._root = root
        self._own = tree.look(os.getpid())
        self._programs = 0
        self._unpacker = frames.Unpacker()
        self._descriptors: list[int] = []
        self._out = b""
        self._job: Job | None = None
        self._drain_grace = 0.0
        self._closing = False

    def run(self) -> int:
        """Serve until the host's end closes and nothing is left below; 0, or 1 when something would not die."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._alarm, select.POLLIN)
        while not (self._closing and self._job is None):
            for descriptor, _ in poll.poll(self._patience()):
                if descriptor == self._alarm:
                    system.drain(self._alarm)
                    self._reap()
                elif not self._receive():
                    self._closing = True
                    poll.unregister(self._control)
                    self._kill()
            if not self._advance():
                return 1
            self._flush()
        return 0

    def _patience(self) -> float | None:
        if self._job is None or self._job.kill_at == _NEVER:
            return None
        return max(0.0, (self._job.kill_at - time.monotonic()) * 1000 + 1)

    def _receive(self) -> bool:
        try:
            data, ancillary, _, _ = self._control.recvmsg(_CHUNK, socket.CMSG_SPACE(STDIO * 4), socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return False
        for _, _, payload in ancillary:
            self._descriptors += memoryview(payload).cast("i").tolist()
        for message in self._unpacker.feed(data):
            self._obey(message)
        return bool(data)

    def _obey(self, message: frames.Message) -> None:
        name, *rest = message
        if name == "spawn":
            self._spawn(cast(launch.Request, rest[0]))
        elif name == "tree":
            found = self._job.living() if self._job else []
            self._say("tree", [seen.identity for seen in found])
        elif self._job is None:
            return
        elif name == "kill":
            self._kill()
        elif name == "stop":
            self._stop(self._job, cast(float, rest[0]))
        elif name == "signal" and self._job.leading:
            os.kill(self._job.pid, cast(int, rest[0]))

    def _spawn(self, request: launch.Request) -> None:
        stdio, self._descriptors = self._descriptors, []
        group = None
        try:
            group = self._group(request["group_limits"])
            pid = launch.launch(request, stdio, group)
        except launch.LaunchError as error:
            if group is not None:
                group.remove()
            self._say("failed", error.stage, error.number, error.subject)
            return
        finally:
            for descriptor in stdio:
                os.close(descriptor)
        self._job = Job(pid, group)
        self._drain_grace = request["drain_grace"]
        self._say("started", *self._job.leader, os.getpid(), self._keeper, group is not None)

    def _group(self, limits: list[tuple[str, str]]) -> Group | None:
        """A cgroup for the next program. Without one its tree is held by descent, but its limits could not be kept."""
        own = self._own
        if not self._root or own is None:
            if limits:
                raise launch.LaunchError("cgroup", errno.ENODEV, "")
            return None
        self._programs += 1
        group = Group(f"{self._root}/{own.pid}-{own.start}-{self._programs}", limits)
        try:
            group.make()
        except GroupError as error:
            if limits:
                stage = "cgroup" if error.subject == group.path else "limits"
                raise launch.LaunchError(stage, error.number, error.subject) from error
            return None
        return group

    def _stop(self, job: Job, grace: float) -> None:
        if job.culling is not None:
            return
        job.kill_at = min(job.kill_at, time.monotonic() + grace)
        self._say("step", "terminate", job.elapsed(), self._terminate(job))

    def _terminate(self, job: Job) -> int:
        """SIGTERM, then SIGCONT: a stopped process that handles SIGTERM would sleep through its grace."""
        found = job.living()
        for number in (signal.SIGTERM, signal.SIGCONT):
            for member in {seen.group: seen for seen in found}.values():
                tree.send_group(member, number)
        return len(found)

    def _kill(self) -> None:
        if self._job is not None:
            self._job.kill_at = 0.0

    def _advance(self) -> bool:
        """Kill a round when it is time; False when it was tried for too long."""
        job, now = self._job, time.monotonic()
        if job is None or now < job.kill_at:
            return True
        if job.culling is None:
            job.culling = tree.Cull(os.getpid(), job.group)
            job.give_up_at = now + GIVE_UP
        job.alive = job.culling.round()
        if job.pause == FIRST_ROUND:
            self._say("step", "kill", job.elapsed(), job.alive)
        job.kill_at = now + job.pause
        job.pause = min(job.pause * 2, LAST_ROUND)
        self._reap()
        if self._job is not None and now > job.give_up_at:
            self._gone(job, job.alive)
            return False
        return True

    def _reap(self) -> None:
        job = self._job
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                if job is not None:
                    self._gone(job, 0)
                return
            if pid == 0:
                return
            if job is not None:
                self._count(job, pid, status, usage)

    def _count(self, job: Job, pid: int, status: int, usage: resource.struct_rusage) -> None:
        job.user += usage.ru_utime
        job.system += usage.ru_stime
        job.max_rss = max(job.max_rss, usage.ru_maxrss * 1024)
        if pid == job.pid:
            job.leading = False
            job.kill_at = min(job.kill_at, time.monotonic() + self._drain_grace)
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
            number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
            self._say("exited", code, number, os.WCOREDUMP(status))

    def _gone(self, job: Job, left: int) -> None:
        killed = job.culling.killed if job.culling else 0
        limit = job.group.hit() if job.group else ""
        self._say("gone", killed, left, job.user, job.system, job.max_rss, limit)
        if job.group is not None:
            job.group.remove()
        self._job = None
        self._flush()

    def _say(self, *message: frames.Plain) -> None:
        self._out += frames.pack(message)

    def _flush(self) -> None:
        out, self._out = self._out, b""
        try:
            if out and not self._closing:
                self._control.sendall(out)
        except OSError:
            return  # the host is gone: the closed socket tells the loop as well

"""From a request to a running program: the last steps before another program takes over."""

from __future__ import annotations

import errno
import marshal
import os
import resource
from collections.abc import Callable, Sequence
from signal import SIG_DFL, signal
from typing import TypedDict

from trunnion.process.keeper import system
from trunnion.process.keeper.cgroups import Group


class Request(TypedDict):
    """What the host asks for; the fields are those of ``trunnion.process.Spawn``."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    umask: int | None
    limits: list[tuple[int, int]]
    group_limits: list[tuple[str, str]]
    drain_grace: float


class LaunchError(Exception):
    """The program did not start.

    Args:
        stage: the step that failed: fork, cwd, cgroup, limits or exec.
        number: errno.
        subject: the file, directory or limit concerned.
    """

    def __init__(self, stage: str, number: int, subject: str) -> None:
        super().__init__(stage, number, subject)
        self.stage = stage
        self.number = number
        self.subject = subject


def launch(request: Request, stdio: Sequence[int], group: Group | None) -> int:
    """Start the program in a session of its own with ``stdio`` as its descriptors 0, 1 and 2.

    Without limits and cgroup it is ``posix_spawn``, which does not copy this process and takes half the time. Limits
    have to be set, and a cgroup entered, by the process itself, between fork and exec.

    Returns:
        Its pid. The program has replaced ours by then.

    Raises:
        LaunchError: it did not start, and nothing is left of the attempt.
    """
    try:
        os.chdir(request["cwd"])
    except OSError as error:
        raise LaunchError("cwd", error.errno or 0, request["cwd"]) from error
    previous = os.umask(request["umask"]) if request["umask"] is not None else None
    try:
        path = _locate(request)
        if request["limits"] or group is not None:
            return _forked(path, request, stdio, group)
        return _spawned(path, request, stdio)
    finally:
        if previous is not None:
            os.umask(previous)
        os.chdir("/")


def _locate(request: Request) -> str:
    """Find the program as execvp would, but in the PATH the program itself gets."""
    name = request["argv"][0]
    if "/" in name:
        return name
    refused = ""
    for folder in request["env"].get("PATH", os.defpath).split(os.pathsep):
        path = f"{folder or '.'}/{name}"
        if os.path.isfile(path):  # noqa: PTH113 - see tree.py
            if os.access(path, os.X_OK):
                return path
            refused = refused or path
    raise LaunchError("exec", errno.EACCES if refused else errno.ENOENT, refused or name)


def _spawned(path: str, request: Request, stdio: Sequence[int]) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, source, target) for target, source in enumerate(stdio)]
    try:
        return os.posix_spawn(
            path,
            request["argv"],
            request["env"],
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=system.TO_DEFAULT,
        )
    except OSError as error:
        raise LaunchError("exec", error.errno or 0, path) from error


def _forked(path: str, request: Request, stdio: Sequence[int], group: Group | None) -> int:
    reader, writer = os.pipe()
    try:
        pid, inside = _fork(group)
    except OSError as error:
        os.close(reader)
        os.close(writer)
        raise LaunchError("fork", error.errno or 0, path) from error
    if pid == 0:
        _become(
            path, request, stdio, None if inside else group, lambda failure: os.write(writer, marshal.dumps(failure))
        )
    os.close(writer)
    report = os.read(reader, 65536)
    os.close(reader)
    if report:
        os.waitpid(pid, 0)
        raise LaunchError(*marshal.loads(report))  # noqa: S302 - written by our own fork
    return pid


def _fork(group: Group | None) -> tuple[int, bool]:
    """The child's pid, and whether it was born in its cgroup; a sandbox may forbid that way in, but not the other."""
    if group is not None:
        try:
            return system.fork_into(group.path), True
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EINVAL):
                raise
    return os.fork(), False


def _become(
    path: str,
    request: Request,
    stdio: Sequence[int],
    group: Group | None,
    report: Callable[[tuple[str, int, str]], object],
) -> None:
    stage, subject = "cgroup", group.path if group is not None else ""
    try:
        if group is not None:
            group.enter()
        os.setsid()
        for number in system.TO_DEFAULT:
            signal(number, SIG_DFL)
        for target, source in enumerate(stdio):
            os.dup2(source, target)
        stage = "limits"
        for kind, value in request["limits"]:
            subject = str(kind)
            resource.setrlimit(kind, (value, value))
        stage, subject = "exec", path
        os.execve(path, request["argv"], request["env"])  # noqa: S606 - running a program without a shell is the point
    except OSError as error:
        report((stage, error.errno or 0, subject))
    except ValueError:
        report((stage, errno.EPERM, subject))
    finally:
        os._exit(127)

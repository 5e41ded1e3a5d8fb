"""Why a program did not start, in words: from errno and a look at the file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from trunnion.process.spec import CONTROLLERS, LIMIT_NAMES, Spawn, SpawnFailed

_TRANSIENT = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY, errno.EINTR}
_SHEBANG_LENGTH = 256


def spawn_failed(spawn: Spawn, stage: str, number: int, subject: str) -> SpawnFailed:
    """The error for a failed start.

    Args:
        spawn: what was asked for.
        stage: fork, cwd, cgroup, limits or exec.
        number: errno of that step.
        subject: the file, directory or limit it was about.
    """
    cause, why = _explain(stage, number, subject, spawn.cwd)
    return SpawnFailed(
        f"cannot start {spawn.argv[0]!r}: {why}",
        {"cause": cause, "path": subject, "errno": number, "permanent": number not in _TRANSIENT},
    )


def no_controller(spawn: Spawn, limit: str, why: str) -> SpawnFailed:
    """The error for a limit of the whole tree that nothing here could keep.

    Args:
        spawn: what was asked for.
        limit: as ``Limits`` calls it.
        why: there is no cgroup for it.
    """
    return SpawnFailed(
        f"cannot start {spawn.argv[0]!r}: its limit {limit!r} needs a cgroup with the controller "
        f"{CONTROLLERS[limit]!r}, and {why}; run the host as a service with Delegate=yes, set host.cgroup, "
        "or take the limit out",
        {"cause": "bad_limits", "path": limit, "errno": 0, "permanent": True},
    )


def _explain(stage: str, number: int, subject: str, cwd: str) -> tuple[str, str]:
    system = os.strerror(number)
    if stage == "cwd":
        return "bad_cwd", f"the working directory {subject!r} cannot be entered ({system})"
    if stage == "cgroup":
        return "bad_limits", f"no cgroup can be made for it ({system}); look at host.cgroup, or take out its limits"
    if stage == "limits":
        return "bad_limits", f"the limit {LIMIT_NAMES.get(subject, subject)} cannot be set ({system})"
    if number in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        return "no_resources", f"the system has no room for another process ({system}); try again later"
    return _explain_exec(number, Path(cwd, subject), "/" in subject)


def _explain_exec(number: int, path: Path, located: bool) -> tuple[str, str]:
    if number == errno.ENOENT and not located:
        return "missing", "no program of that name is in the PATH it was given"
    if number in (errno.ENOENT, errno.ENOTDIR) and not path.exists():
        return "missing", f"{path} does not exist"
    if number in (errno.ENOENT, errno.EACCES) and (interpreter := _interpreter(path)):
        return "bad_interpreter", f"its first line names the interpreter {interpreter!r}, which cannot be run"
    if path.is_dir():
        return "is_directory", f"{path} is a directory"
    if number == errno.EACCES and not os.access(path, os.X_OK):
        return "not_executable", f"{path} is not executable (chmod +x makes it so)"
    if number == errno.ENOEXEC:
        return "bad_format", f"{path} is neither a program for this machine nor a script with a #! line"
    if number == errno.E2BIG:
        return "too_long", "its arguments and environment are longer than the system allows"
    cause = "denied" if number in (errno.EACCES, errno.EPERM) else "other"
    return cause, f"{path}: {os.strerror(number)}"


def _interpreter(path: Path) -> str:
    """What the ``#!`` line of a script that may be run names; empty when there is no such line."""
    if not path.is_file() or not os.access(path, os.X_OK):
        return ""
    try:
        with path.open("rb") as file:
            line = file.readline(_SHEBANG_LENGTH)
    except OSError:
        return ""
    words = line[2:].split() if line.startswith(b"#!") else []
    return words[0].decode(errors="replace") if words else ""

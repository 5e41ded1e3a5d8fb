"""One cgroup for each owned tree, where the host has a subtree of cgroup v2 to itself; see cgroups(7).

The subtree of one keeper is a *root*, ``trunnion-<host>-<boot>``. Below it each program has a *leaf* of its own,
``<pid>-<start>-<number>`` after its minder. So whoever finds a leaf can tell from its name whether anybody still looks
after it, and from the root's name which host it belonged to: nothing else has to be written down.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from trunnion.process.keeper import tree

_OPTIONAL = ("memory.swap.max", "memory.oom.group")
"""Absent where the kernel has no swap accounting or is older than 4.19; the limit holds without them."""

_HITS = (("memory", "memory.events", "oom_kill"), ("tasks", "pids.events", "max"))


class GroupError(Exception):
    """A leaf could not be made.

    Args:
        number: errno.
        subject: the directory, or the file in it that holds a limit.
    """

    def __init__(self, number: int, subject: str) -> None:
        super().__init__(number, subject)
        self.number = number
        self.subject = subject


class Group:
    """The leaf of one tree.

    Args:
        path: its directory.
        limits: names of files in it and what to write into them.
    """

    def __init__(self, path: str, limits: Sequence[tuple[str, str]] = ()) -> None:
        self.path = path
        self._limits = limits

    def make(self) -> None:
        """Make the directory and set the limits.

        Raises:
            GroupError: nothing was made.
        """
        subject = self.path
        try:
            os.mkdir(self.path)  # noqa: PTH102 - see tree.py
            for name, value in self._limits:
                subject = name
                if name not in _OPTIONAL or os.path.exists(f"{self.path}/{name}"):  # noqa: PTH110
                    _write(f"{self.path}/{name}", value)
        except OSError as error:
            self.remove()
            raise GroupError(error.errno or 0, subject) from error

    def enter(self) -> None:
        """Move the calling process into it."""
        _write(f"{self.path}/cgroup.procs", "0")

    def living(self) -> list[tree.Seen]:
        """Its processes, those of cgroups the program made below it included."""
        pids = {pid for folder in _folders(self.path) for pid in _numbers(f"{folder}/cgroup.procs")}
        found = [tree.look(pid) for pid in pids]
        return [seen for seen in found if seen is not None and not seen.zombie]

    def kill(self) -> None:
        """SIGKILL all of it at once; the kernel lets no fork slip through."""
        try:
            _write(f"{self.path}/cgroup.kill", "1")
        except OSError:
            return  # removed meanwhile: the walk and the next round show whether anything is left

    def hit(self) -> str:
        """The limit it ran into, as ``Limits`` calls it; empty for none, or where none was set."""
        for limit, file, key in _HITS if self._limits else ():
            if _count(f"{self.path}/{file}", key):
                return limit
        return ""

    def remove(self) -> bool:
        """Remove it with the empty cgroups below it; whether it is gone."""
        for folder in reversed(list(_folders(self.path))):
            try:
                os.rmdir(folder)  # noqa: PTH106
            except OSError:
                return not os.path.exists(self.path)  # noqa: PTH110
        return True


def usable(root: str) -> int:
    """Try with a short-lived fork whether processes can be moved below ``root``.

    Returns:
        0, or the errno of the refusal.
    """
    own = tree.look(os.getpid())
    group = Group(f"{root}/{os.getpid()}-{own.start if own else 0}-0")
    try:
        group.make()
    except GroupError as error:
        return error.number
    pid = os.fork()
    if pid == 0:
        number = 0
        try:
            group.enter()
        except OSError as error:
            number = error.errno or 255
        finally:
            os._exit(number)
    _, status = os.waitpid(pid, 0)
    group.remove()
    return os.waitstatus_to_exitcode(status)


def sweep(root: str) -> int:
    """Kill and remove every leaf whose minder is gone, also those that earlier keepers of the same host left.

    Returns:
        How many of them are not gone yet.
    """
    left = 0
    for place in roots(root):
        for name in _names(place):
            if not _minded(name):
                group = Group(f"{place}/{name}")
                group.kill()
                left += not group.remove()
        if place != root:
            close(place)
    return left


def close(root: str) -> None:
    """Remove a root; one that is still in use stays."""
    try:
        os.rmdir(root)  # noqa: PTH106
    except OSError:
        return


def roots(root: str) -> list[str]:
    """Root and those of the same host's other starts; another host's are never looked at."""
    parent, name = os.path.split(root)
    own = name[: name.rindex("-") + 1]
    return [f"{parent}/{other}" for other in _names(parent) if other.startswith(own)]


def _minded(name: str) -> bool:
    """Whether the minder in a leaf's name lives; a name that is not ours counts as that of somebody else."""
    words = name.split("-")
    if len(words) != 3 or not all(word.isdecimal() for word in words):
        return True
    seen = tree.look(int(words[0]))
    return seen is not None and seen.start == int(words[1]) and not seen.zombie


def _folders(path: str) -> Iterator[str]:
    """A cgroup and all below it, parents first; a program may nest its own as deeply as it likes."""
    todo = [path]
    while todo:
        folder = todo.pop()
        yield folder
        todo += [f"{folder}/{name}" for name in _names(folder)]


def _names(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _numbers(path: str) -> list[int]:
    return [int(word) for word in _read(path).split()]


def _count(path: str, key: str) -> int:
    for line in _read(path).decode().splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return 0


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.readall()
    except OSError:
        return b""


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)

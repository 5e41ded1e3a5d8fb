"""Whether this host has a subtree of cgroup v2 to itself, and making it ready.

The rules are those of the system's manager: a subtree belongs to whoever it was delegated to, which systemd marks on
the directory (``Delegate=yes``), and of which the root of a cgroup namespace is an instance too. That a
directory happens to be writable, as every one is for root, means nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from trunnion.process.keeper import tree

WANTED: Final = ("cpu", "memory", "pids")
OWN: Final = "trunnion.host"
"""The host's own leaf in a delegated cgroup: one that hands controllers down cannot hold processes itself."""

_INITIAL_NAMESPACE: Final = 0xEFFFFFFB
"""Inode of the first cgroup namespace, PROC_CGROUP_INIT_INO of the kernel."""


class Cgroups(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator wants, and the name of the subtree.

    Attributes:
        place: ``auto``, ``off``, or a directory of cgroup v2 that the host may use.
        host: the host's id.
        boot: the id of this start.
    """

    place: str
    host: str
    boot: str


class Subtree(msgspec.Struct, frozen=True):
    """Where trees get their cgroups.

    Attributes:
        root: a directory, empty for none.
        controllers: those that can limit a tree there.
        why: there is none, or not every controller, in words that end a sentence.
    """

    root: str = ""
    controllers: frozenset[str] = frozenset()
    why: str = "this keeper was not given any"


class _NoneHere(Exception):
    """There is no subtree; the message says why."""


def prepare(wanted: Cgroups) -> Subtree:
    """Find the subtree, make the keeper's root in it and hand down what controllers there are.

    In a cgroup delegated to this very process, the host and its children first move to a leaf of their own.
    """
    if wanted.place == "off":
        return Subtree(why="host.cgroup is 'off'")
    try:
        base = _delegated() if wanted.place == "auto" else _given(Path(wanted.place))
        return _made(base, wanted)
    except _NoneHere as none:
        return Subtree(why=str(none))
    except OSError as error:
        return Subtree(why=f"{error.filename or wanted.place} cannot be used ({error.strerror})")


def _made(base: Path, wanted: Cgroups) -> Subtree:
    root = base / f"trunnion-{_plain(wanted.host)}-{_plain(wanted.boot)}"
    root.mkdir(exist_ok=True)
    if not (root / "cgroup.kill").exists():
        root.rmdir()
        raise _NoneHere("the kernel is older than 5.14, the first that kills a cgroup at once")
    if wanted.place == "auto":
        _step_aside(base)
    why = _hand_down(base) or _hand_down(root)
    controllers = frozenset(_words(root / "cgroup.subtree_control")) & frozenset(WANTED)
    return Subtree(str(root), controllers, why or f"{base} offers only {sorted(controllers)}")


def _plain(name: str) -> str:
    return name.replace("-", "")


def _given(place: Path) -> Path:
    if not (place / "cgroup.procs").exists() or not (place / "cgroup.controllers").exists():
        raise _NoneHere(f"{place}, which host.cgroup names, is no cgroup v2")
    return place


def _delegated() -> Path:
    own = _own()
    for place in (own, own.parent):  # the parent, where a manager has put us into a leaf of what it delegated
        if _is_marked(place) or (place == own and _is_namespace_root(own)):
            if not all(os.access(path, os.W_OK) for path in (place, place / "cgroup.procs")):
                raise _NoneHere(f"the cgroup {place} is delegated, but not writable")
            return place
    raise _NoneHere(f"the host's cgroup {own} is not delegated to it")


def _own() -> Path:
    """The directory of this process's cgroup, see cgroups(7)."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    found = next(((words[3], words[4]) for words in mounts if words[words.index("-") + 1] == "cgroup2"), None)
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    path = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    if found is None or path is None:
        raise _NoneHere("there is no cgroup v2 on this system")
    root, mount = found
    if not Path(path).is_relative_to(root) or ".." in Path(path).parts:
        raise _NoneHere(f"the host's cgroup {path} is outside of what is mounted at {mount}")
    return Path(mount) / Path(path).relative_to(root)


def _is_marked(place: Path) -> bool:
    for name in ("user.delegate", "trusted.delegate"):
        try:
            if os.getxattr(place, name) == b"1":
                return True
        except OSError:
            continue
    return False


def _is_namespace_root(own: Path) -> bool:
    return os.path.ismount(own) and Path("/proc/self/ns/cgroup").stat().st_ino != _INITIAL_NAMESPACE


def _hand_down(place: Path) -> str:
    """Enable the controllers for what is below ``place``; why that did not go well, empty if it did.

    All at once and only in an empty cgroup: some controllers can be enabled beside processes, and would turn ``place``
    into a threaded one, in which the others cannot be.
    """
    names = sorted(set(WANTED) & set(_words(place / "cgroup.controllers")))
    if (place / "cgroup.type").exists() and _words(place / "cgroup.procs"):  # the system's root has no type
        return f"{place} can hand down no controllers while other processes live in it"
    try:
        (place / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in names))
    except OSError as error:
        return f"{place} cannot hand down its controllers ({error.strerror})"
    return ""


def _step_aside(place: Path) -> None:
    """Move this process and its descendants out of ``place`` into a leaf of their own."""
    leaf = place / OWN
    leaf.mkdir(exist_ok=True)
    ours = {os.getpid(), *(seen.pid for seen in tree.descendants(os.getpid()))}
    for pid in ours & {int(word) for word in _words(place / "cgroup.procs")}:
        try:
            (leaf / "cgroup.procs").write_text(str(pid))
        except ProcessLookupError:
            continue


def _words(path: Path) -> list[str]:
    return path.read_text().split()

"""A disk between a program and the real one: its calls are counted, made to fail, or written down and replayed.

What is written down is replayed as a disk without power would show it. Names and contents become lasting by
themselves or not at all, whatever their order, until they are synchronised: a file's content by ``fsync`` of
the file, its name by ``fsync`` of its folder.
"""

from __future__ import annotations

import mmap
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

HERE = Path(__file__).parent
STATE = struct.Struct("=QQQq")
HEAD = struct.Struct("=QQQQ")
WRITE, TRUNCATE, CREATE, RENAME, UNLINK, SYNC, SYNC_FOLDER, MKDIR, EXTEND, LINK = range(1, 11)
SECTOR = 512
FOR_EVER = (1 << 63) - 1

Variant = Literal["lost", "kept", "names", "contents", "mixed"]
VARIANTS: tuple[Variant, ...] = ("lost", "kept", "names", "contents", "mixed")
"""Of what was not synchronised: nothing lasts, all, only names, only contents, or some of both, torn."""


def compiled(folder: Path) -> Path:
    """The library; skips where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here, so nothing can stand between the host and its disk")
    made = folder / "faulty_disk.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(HERE / "faulty_disk.c"), "-ldl"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:2000]
    return made


class Failing:
    """The switch, in the process that is to fail or beside it.

    Args:
        path: the file ``DISK_STATE`` names.
    """

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), STATE.size)

    def arm(self, first: int, error: int, last: int | None = None) -> None:
        """Count from 0 again and have calls fail, the first of them or those up to the last."""
        self._shared[:] = STATE.pack(0, first, first if last is None else last, error)

    @property
    def count(self) -> int:
        return STATE.unpack(self._shared)[0]

    def disarm(self) -> int:
        """Fail no more; how many calls there were."""
        count = self.count
        self._shared[:] = STATE.pack(0, 0, 0, 0)
        return count


def environment(library: Path, root: Path, *, journal: Path | None = None) -> dict[str, str]:
    """What a program's environment needs for its files below ``root``; ``state`` and ``journal`` are made empty."""
    state = root.with_name(root.name + ".state")
    state.write_bytes(bytes(STATE.size))
    found = {**os.environ, "LD_PRELOAD": str(library), "DISK_ROOT": str(root), "DISK_STATE": str(state)}
    if journal is not None:
        journal.write_bytes(b"")
        found["DISK_JOURNAL"] = str(journal)
    return found


def run_child(script: str, *args: object, env: Mapping[str, str]) -> str:
    """Run one of the scripts beside this file to its end; what it printed."""
    command = [sys.executable, str(HERE / script), *map(str, args)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


# -- what was written down -------------------------------------------------------------------------


class Call(NamedTuple):
    what: int
    path: str
    offset: int
    data: bytes


def calls(journal: Path) -> Iterator[Call]:
    with journal.open("rb") as file:
        while head := file.read(HEAD.size):
            what, length, offset, size = HEAD.unpack(head)
            yield Call(what, file.read(length).decode(), offset, file.read(size))


class _File:
    """``lasting`` is what is on the disk for sure; ``pending`` are the changes since, in order."""

    def __init__(self) -> None:
        self.lasting = bytearray()
        self.pending: list[Call] = []

    def sync(self) -> None:
        for call in self.pending:
            _change(self.lasting, call)
        self.pending.clear()

    def shown(self, variant: Variant, seeded: random.Random) -> bytes:
        content = bytearray(self.lasting)
        if variant in ("kept", "contents"):
            for call in self.pending:
                _change(content, call)
        elif variant == "mixed":
            for call in self.pending:
                if seeded.random() < 0.6:
                    _change(content, _torn(call, seeded))
        return bytes(content)


def _change(content: bytearray, call: Call) -> None:
    if call.what == WRITE:
        end = call.offset + len(call.data)
        content.extend(bytes(max(0, end - len(content))))
        content[call.offset : end] = call.data
    elif call.what == EXTEND:
        content.extend(bytes(max(0, call.offset - len(content))))
    else:
        content.extend(bytes(max(0, call.offset - len(content))))
        del content[call.offset :]


def _torn(call: Call, seeded: random.Random) -> Call:
    """Now and then only the first sectors of a write last."""
    if call.what != WRITE or len(call.data) <= SECTOR or seeded.random() < 0.7:
        return call
    keep = SECTOR * seeded.randint(1, len(call.data) // SECTOR)
    return call._replace(data=call.data[:keep])


class Disk:
    """The disk as the calls left it, and every way it may look after the power went.

    Args:
        root: what lies below it is replayed.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._names: dict[str, _File] = {}
        self._lasting: dict[str, _File] = {}
        self._pending: dict[str, list[tuple[str, _File | None]]] = {}
        self._folders: set[str] = set()
        self._lasting_folders: set[str] = set()

    def apply(self, call: Call) -> None:
        """One call more."""
        if call.what == CREATE:
            self._name(call.path, _File())
        elif call.what == MKDIR:
            self._folders.add(call.path)
        elif call.what == RENAME:
            file = self._names.get(call.path)
            if file is not None:
                self._name(call.data.decode(), file)
                self._name(call.path, None)
        elif call.what == LINK:
            if (file := self._names.get(call.path)) is not None:
                self._name(call.data.decode(), file)
        elif call.what == UNLINK:
            if call.path in self._names:
                self._name(call.path, None)
        elif call.what == SYNC_FOLDER:
            self._sync_folder(call.path)
        elif (file := self._names.get(call.path)) is not None:
            file.sync() if call.what == SYNC else file.pending.append(call)

    def _name(self, path: str, file: _File | None) -> None:
        if file is None:
            self._names.pop(path, None)
        else:
            self._names[path] = file
        self._pending.setdefault(_folder_of(path), []).append((path, file))

    def _sync_folder(self, folder: str) -> None:
        _rename(self._lasting, self._pending.pop(folder, []))
        self._lasting_folders.update(each for each in self._folders if _folder_of(each) == folder)

    def after_power_cut(self, variant: Variant, seeded: random.Random) -> dict[str, bytes]:
        """Files by name below the root, as they may be found."""
        names = dict(self._lasting)
        folders = self._lasting_folders if variant in ("lost", "contents") else self._folders
        for changes in self._pending.values():
            # A folder's own changes last in their order, as every journal of names keeps them.
            upto = {"lost": 0, "contents": 0, "mixed": seeded.randint(0, len(changes))}.get(variant, len(changes))
            _rename(names, changes[:upto])
        gone = self._folders - folders
        return {
            path.removeprefix(self.root + "/"): file.shown(variant, seeded)
            for path, file in names.items()
            if not any(path.startswith(folder + "/") for folder in gone)
        }


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def _rename(names: dict[str, _File], changes: list[tuple[str, _File | None]]) -> None:
    for path, file in changes:
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file


def lay_out(files: Mapping[str, bytes], root: Path) -> None:
    """Make a folder of what was found."""
    shutil.rmtree(root, ignore_errors=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(content)


def cuts(
    journal: Path, root: Path, chosen: set[int] | None = None, *, without: str = "//"
) -> Iterator[tuple[int, Disk, list[str]]]:
    """The disk before every call, or before those chosen, with what the program had promised by then.

    Files below ``without`` are left out. Promises are lines the program wrote to ``promises`` in the root; they count
    from when they are written.
    """
    disk, promised = Disk(str(root)), b""
    number = 0
    for number, call in enumerate(calls(journal)):
        if chosen is None or number in chosen:
            yield number, disk, promised.decode().splitlines()
        if call.path == f"{root}/promises":
            promised += call.data
        elif without not in call.path:
            disk.apply(call)
    yield number + 1, disk, promised.decode().splitlines()

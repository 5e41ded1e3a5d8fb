"""Scripts dropped in a folder: an executable with a ``<name>.toml`` beside it."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from trunnion import InvalidConfig
from trunnion.model.names import to_segment
from trunnion_scripts.declaration import Script, read


class Refused(msgspec.Struct, frozen=True):
    """A file that cannot be used.

    Attributes:
        origin: the file.
        reason: why, in one line or more.
        gone: whether the program is not there any more, so that an earlier version cannot stay either.
    """

    origin: str
    reason: str
    gone: bool = False


Found: TypeAlias = Mapping[Path, Script | Refused]
"""By TOML file."""

Snapshot: TypeAlias = frozenset[tuple[str, int, int, int, int]]
"""Names and what changes when a file does, of all folders together."""


def snapshot(folders: Iterable[Path]) -> Snapshot:
    """What is in the folders; one that is not there is empty."""
    return frozenset(entry for folder in folders for entry in _entries(folder))


def _entries(folder: Path) -> Iterable[tuple[str, int, int, int, int]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            facts = entry.stat()
        except OSError:
            continue
        yield entry.path, facts.st_mode, facts.st_size, facts.st_mtime_ns, facts.st_ino


def read_folders(folders: Iterable[Path]) -> Found:
    """Read every ``<name>.toml`` of the folders; hidden files are left alone."""
    found: dict[Path, Script | Refused] = {}
    for folder in folders:
        for file in sorted(folder.glob("*.toml")):
            if not file.name.startswith("."):
                found[file] = _read(file)
    return found


def _read(file: Path) -> Script | Refused:
    programs = [path for path in file.parent.glob(f"{file.stem}*") if path.stem == file.stem and _executable(path)]
    if len(programs) != 1:
        return Refused(str(file), f"{file}: {_without_program(file, programs)}", gone=True)
    unsafe = next((problem for path in (file.parent, file, programs[0]) if (problem := _unsafe(path))), None)
    if unsafe:
        return Refused(str(file), unsafe, gone=True)
    try:
        table = tomllib.loads(file.read_text("utf-8"))
        return read(to_segment(file.stem), table, str(file), programs[0].absolute())
    except InvalidConfig as error:
        return Refused(str(file), error.message)
    except (OSError, ValueError) as error:
        return Refused(str(file), f"{file}: {error}")
    except RecursionError:
        return Refused(str(file), f"{file}: it nests too deeply")


def _without_program(file: Path, programs: Sequence[Path]) -> str:
    """What is said of a file that does not stand beside exactly one program."""
    if programs:
        return f"one executable has to stand beside it, not {' and '.join(sorted(path.name for path in programs))}"
    plain = sorted(path for path in file.parent.glob(f"{file.stem}*") if path.stem == file.stem and path != file)
    hint = f" (chmod +x {plain[0]} makes it one)" if plain and plain[0].is_file() else ""
    return f"an executable named {file.stem!r} has to stand beside it, and there is none{hint}"


def _executable(path: Path) -> bool:
    return path.suffix != ".toml" and path.is_file() and os.access(path, os.X_OK)


def _unsafe(path: Path) -> str | None:
    """What strangers may change must not run as the host's user."""
    facts = path.stat()
    if facts.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to another user"
    if facts.st_mode & stat.S_IWOTH and not facts.st_mode & stat.S_ISVTX:
        return f"{path} can be changed by every user (chmod o-w makes it safe)"
    return None

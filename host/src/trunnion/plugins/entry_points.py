"""The entry points of installed distributions, read straight from their metadata.

Reading them through ``importlib_metadata`` costs a start more than all plugins' hooks together, for it brings the
parser of e-mail along. What lies on the path as a plain folder, which is how installers leave it, is read here, by
the same rules (https://packaging.python.org/specifications/entry-points/); whatever else there is on the path, the
library is asked.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from importlib_metadata import IDistribution

_METADATA = (".dist-info", ".egg-info")
_FILES = ("METADATA", "PKG-INFO")
_OWN_FINDERS = ("_frozen_importlib", "importlib")


class EntryPoint(msgspec.Struct, frozen=True):
    """One entry point and the distribution that has it; ``""`` where its metadata does not say."""

    distribution: str
    version: str
    group: str
    name: str
    value: str

    def load(self) -> object:
        """Import what it points at.

        Raises:
            ValueError: its value is no reference to an object.
            Exception: whatever the import raises.
        """
        match = re.fullmatch(r"([\w.]+)\s*(?::\s*([\w.]+)\s*)?(?:\[.*\]\s*)?", self.value)
        if match is None:
            raise ValueError(f"{self.value!r} is no reference to an object, such as package.module:name")
        module, names = match.groups()
        return reduce(getattr, filter(None, (names or "").split(".")), import_module(module))


def entry_points(prefix: str) -> Iterator[list[EntryPoint]]:
    """Entry points in groups that begin with ``prefix``, distribution by distribution in the order of the path.

    A distribution with unreadable metadata has none, and does not hide those of others.
    """
    return _in_folders(prefix) if _is_plain() else _through_library(prefix)


def _is_plain() -> bool:
    """Whether all there is on the path are folders, and nobody else finds distributions."""
    strangers = [
        finder
        for finder in sys.meta_path
        if hasattr(finder, "find_distributions")
        and not (getattr(finder, "__module__", "") or "").startswith(_OWN_FINDERS)
    ]
    return not strangers and not any(entry.endswith(".egg") or Path(entry).is_file() for entry in _path())


def _path() -> list[str]:
    return [entry for entry in sys.path if isinstance(entry, str)]


def _in_folders(prefix: str) -> Iterator[list[EntryPoint]]:
    for folder in map(Path, _path()):
        try:
            children = [child for child in folder.iterdir() if child.name.lower().endswith(_METADATA)]
        except OSError:
            continue
        for child in children:
            yield _entries_in(child, prefix)


def _entries_in(folder: Path, prefix: str) -> list[EntryPoint]:
    try:
        raw = (folder / "entry_points.txt").read_bytes()
        if prefix.encode() not in raw:
            return []
        pairs = [(group, entry) for group, entry in _entries(raw.decode()) if group.startswith(prefix)]
        name, version = _name_and_version(folder) if pairs else ("", "")
        split = [(group, *entry.split("=", 1)) for group, entry in pairs]
        return [EntryPoint(name, version, group, key.strip(), value.strip()) for group, key, value in split]
    except (OSError, ValueError):
        return []


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """Lines that say something, each with its section."""
    section = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("[") and line.endswith("]"):
            section = line.strip("[]")
        elif section and not line.startswith("#"):
            yield section, line


def _name_and_version(folder: Path) -> tuple[str, str]:
    """From the head of the metadata, which ends at the first empty line; where there is none, from the folder."""
    name, _, version = folder.stem.partition("-")
    head = {"name": name, "version": version}
    for path in (folder / file for file in _FILES):
        if path.is_file():
            lines = path.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
            head |= {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
            break
    return head["name"], head["version"]


def _through_library(prefix: str) -> Iterator[list[EntryPoint]]:
    import importlib_metadata

    for dist in importlib_metadata.distributions():
        yield _entries_of(dist, prefix)


def _entries_of(dist: IDistribution, prefix: str) -> list[EntryPoint]:
    try:
        mine = [entry for entry in dist.entry_points if entry.group.startswith(prefix)]
        name, version = (str(dist.metadata["Name"] or ""), str(dist.version or "")) if mine else ("", "")
    except Exception:
        return []
    return [EntryPoint(name, version, entry.group, entry.name, entry.value) for entry in mine]

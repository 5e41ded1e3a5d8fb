"""Finding plugins without importing any of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import msgspec

from trunnion.hookspecs import ENTRY_POINT_GROUP, GENERATION
from trunnion.model.contributions import PluginRecord
from trunnion.model.names import is_segment, to_segment
from trunnion.plugins.entry_points import EntryPoint, entry_points

_GROUP_PREFIX = ENTRY_POINT_GROUP.rpartition("v")[0]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that could be loaded; ``load`` imports it and returns the module or object."""

    id: str
    load: Callable[[], object]
    distribution: str = ""
    version: str = ""
    origin: str = ""
    incompatible: str = ""

    def record(self) -> PluginRecord:
        """Its record, as if it were loaded; the caller replaces the state."""
        return PluginRecord(
            id=self.id, state="loaded", distribution=self.distribution, version=self.version, origin=self.origin
        )

    @property
    def whence(self) -> str:
        """Where it comes from, for messages."""
        return f"{self.distribution} {self.version}".strip() or self.origin


def installed() -> list[Candidate]:
    """Every entry point of a group of ours, those of other generations marked incompatible.

    A plugin that offers this generation and others is taken for this one.
    """
    found = [_from_entry_point(entry) for entry in _entry_points()]
    spoken = {(c.id, c.distribution) for c in found if not c.incompatible}
    return [c for c in found if not c.incompatible or (c.id, c.distribution) not in spoken]


def single_files(folder: Path) -> list[Candidate]:
    """Every ``*.py`` of a ``--plugin-dir``; the id is the file's stem.

    Raises:
        OSError: the folder cannot be read.
    """
    return [_from_file(path) for path in sorted(folder.iterdir()) if path.suffix == ".py" and path.is_file()]


def objects(given: Mapping[str, object] | Sequence[object]) -> list[Candidate]:
    """Plugins a program passes itself: by name, or named after their module, class or ``plugin_id``."""
    named = given.items() if isinstance(given, Mapping) else [(_name_of(plugin), plugin) for plugin in given]
    return [Candidate(id=name, load=partial(_same, plugin), origin="given") for name, plugin in named]


def _same(plugin: object) -> object:
    return plugin


def _name_of(plugin: object) -> str:
    explicit = getattr(plugin, "plugin_id", None)
    if isinstance(explicit, str):
        return explicit
    name = getattr(plugin, "__name__", None) or type(plugin).__name__
    return to_segment(str(name).rpartition(".")[2])


def _entry_points() -> Iterator[EntryPoint]:
    """Entry points of our groups; of a distribution found twice on the path, the first counts, as for imports."""
    seen: set[str] = set()
    for found in entry_points(_GROUP_PREFIX):
        if found and (name := _canonical(found[0].distribution)) not in seen:
            seen.add(name)
            yield from found


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _from_entry_point(entry: EntryPoint) -> Candidate:
    spoken = entry.group.removeprefix(_GROUP_PREFIX)
    incompatible = (
        ""
        if entry.group == ENTRY_POINT_GROUP
        else f"built for plugin contract {spoken}, this host speaks v{GENERATION}; "
        f"install a version of {entry.distribution} made for this host"
    )
    return Candidate(
        id=entry.name,
        load=entry.load,
        distribution=entry.distribution,
        version=entry.version,
        origin=entry.value,
        incompatible=incompatible,
    )


def _from_file(path: Path) -> Candidate:
    return Candidate(id=path.stem, load=lambda: _import_file(path), origin=str(path))


def _import_file(path: Path) -> object:
    """Import one file under a name nobody else uses, so that it cannot shadow an installed module."""
    name = f"trunnion_plugin_file_{path.stem}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def misnamed(plugin_id: str) -> str:
    """Why this cannot be a plugin's id, ``""`` if it can."""
    if is_segment(plugin_id):
        return ""
    return "its name must be a-z, 0-9, '_' and '-', starting with a letter, at most 63 long"

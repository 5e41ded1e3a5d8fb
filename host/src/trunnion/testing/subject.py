"""Finding the plugins that somebody wants checked: installed ones, or those of a folder or file."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from trunnion.hookspecs import ENTRY_POINT_GROUP
from trunnion.model.errors import InvalidArguments, NotFound
from trunnion.model.json import Json
from trunnion.model.names import nearest
from trunnion.plugins.discover import Candidate, installed, single_files


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin to be checked.

    Attributes:
        candidate: as the host would find it.
        module: the module its entry point names; ``""`` for a single file.
        file: that single file.
        path: folders its modules are in, where it is not installed.
    """

    candidate: Candidate
    module: str = ""
    file: Path | None = None
    path: tuple[str, ...] = ()

    @contextmanager
    def importable(self) -> Iterator[None]:
        """While inside, its modules are found."""
        before = list(sys.path)
        sys.path[:0] = self.path
        try:
            yield
        finally:
            sys.path[:] = before


def find(what: str) -> list[Subject]:
    """The plugins somebody means.

    Args:
        what: an entry point's name, a distribution, a folder with a ``pyproject.toml``, or a plugin of one file.

    Raises:
        NotFound: there is none.
        InvalidArguments: the folder is no distribution with a plugin.
    """
    path = Path(what)
    if path.is_dir():
        return _in_folder(path.absolute())
    if path.suffix == ".py" and path.is_file():
        (found,) = [c for c in single_files(path.absolute().parent) if c.origin == str(path.absolute())]
        return [Subject(candidate=found, file=path.absolute())]
    every = installed()
    if chosen := [c for c in every if what == c.id or _canonical(what) == _canonical(c.distribution)]:
        return [Subject(candidate=c, module=c.origin.partition(":")[0]) for c in chosen]
    names = sorted({name for c in every for name in (c.id, c.distribution)})
    raise NotFound(
        f"{what!r} is no installed plugin or distribution with one, no folder and no file",
        {"nearest": nearest(what, names)},
    )


def _in_folder(folder: Path) -> list[Subject]:
    """What the ``pyproject.toml`` of a folder says, without anything being installed."""
    project = _project(folder)
    entries = _table(_table(project.get("entry-points")).get(ENTRY_POINT_GROUP))
    if not entries:
        raise InvalidArguments(f"{folder}/pyproject.toml has no entry point in the group {ENTRY_POINT_GROUP}")
    places = (str(folder / "src" if (folder / "src").is_dir() else folder),)
    made = [_candidate(str(name), str(value), project) for name, value in entries.items()]
    return [Subject(candidate=c, module=c.origin.partition(":")[0], path=places) for c in made]


def _candidate(name: str, value: str, project: Mapping[str, Json]) -> Candidate:
    from importlib_metadata import EntryPoint

    return Candidate(
        id=name,
        load=EntryPoint(name, value, ENTRY_POINT_GROUP).load,
        distribution=str(project.get("name", "")),
        version=str(project.get("version", "")),
        origin=value,
    )


def _project(folder: Path) -> Mapping[str, Json]:
    try:
        return _table(tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project"))
    except (OSError, ValueError) as error:
        raise InvalidArguments(f"{folder} is no distribution: {folder}/pyproject.toml: {error}") from error


def _table(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")

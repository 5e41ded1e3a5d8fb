"""The hooks of ``trunnion-scripts``. What they need is imported when they are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from trunnion import Command, Console, Daemon, Json, Query, Setting, hookimpl

if TYPE_CHECKING:
    from trunnion_scripts.library import Library


def _library(settings: Mapping[str, Json]) -> Library:
    from trunnion_scripts.library import Library

    library = Library(settings)
    library.read_folders()
    return library


@hookimpl
def trunnion_settings() -> Iterable[Setting]:
    """``[scripts.<name>]`` for each script, and where to look for more."""
    from trunnion_scripts.declaration import schema_of_declaration
    from trunnion_scripts.library import problems_of

    yield Setting(
        key="folders",
        reload="live",
        schema={
            "type": "array",
            "items": {"type": "string", "format": "path"},
            "default": [],
            "description": "Folders, relative to this file; an executable with a <name>.toml beside it is a command",
        },
    )
    yield Setting(
        key="poll_interval",
        reload="live",
        schema={
            "type": "number",
            "minimum": 0.01,
            "default": 0.5,
            "description": "Seconds between two looks at the folders; a change counts after the second",
        },
    )
    yield Setting(
        key="",
        reload="live",
        schema={"type": "object", "additionalProperties": schema_of_declaration()},
        check=problems_of,
    )


@hookimpl
def trunnion_commands(settings: Mapping[str, Json]) -> Iterable[Command]:
    """A command for each script. The folders are read here too, for hosts that start no daemon."""
    return _library(settings).contributed().commands


@hookimpl
def trunnion_queries(settings: Mapping[str, Json]) -> Iterable[Query]:
    """``scripts.list``."""
    return _library(settings).contributed().queries


@hookimpl
def trunnion_consoles(settings: Mapping[str, Json]) -> Iterable[Console]:
    """The console ``scripts``."""
    return _library(settings).contributed().consoles


@hookimpl
def trunnion_daemons(settings: Mapping[str, Json]) -> Iterable[Daemon]:
    """The watcher of the folders."""
    from trunnion_scripts.watcher import watch

    yield Daemon(name="scripts", run=watch)

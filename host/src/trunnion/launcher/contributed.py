"""Subcommands that plugins bring: the plugins are imported only for a name nobody else knows.

A shell has to be there at once, so this imports what finds and asks plugins, and nothing of the host they are for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import click

from trunnion.config.selection import select
from trunnion.config.toml_file import read_toml
from trunnion.launcher.options import Options, options_of, refuse_misplaced
from trunnion.launcher.place import locate
from trunnion.model.contributions import LazyCommand
from trunnion.model.errors import BrokenPlugin, TrunnionError
from trunnion.model.names import nearest
from trunnion.plugins.contained import one_line
from trunnion.plugins.load import load_plugins


def contributed(context: click.Context, name: str) -> click.Command | None:
    """The subcommand of a plugin; None when no plugin has one of that name, or there is no telling.

    Raises:
        BrokenPlugin: it cannot be loaded.
    """
    try:
        found = _look(options_of(context)).subcommands.get(name)
    except TrunnionError:
        return None
    return _loaded(*found) if found is not None else None


def subcommand(context: click.Context, name: str, known: Iterable[str]) -> click.Command:
    """The subcommand of a plugin.

    Args:
        context: of the whole call.
        name: of the subcommand.
        known: the names of those that no plugin brings, for hints.

    Raises:
        click.UsageError: nobody has one of that name; the message has the nearest names, and the plugins that might
            have it and cannot be used. Or the options before it are for none like it.
        BrokenPlugin: it cannot be loaded, or plugins asked for by name cannot be used.
        InvalidConfig: the configuration cannot be read, and the name looks like none of the others.
    """
    try:
        found = _look(options_of(context))
    except TrunnionError:
        if not nearest(name, known):
            raise
        found = _Found({}, ())
    if name in found.subcommands:
        plugin_id, lazy = found.subcommands[name]
        refuse_misplaced(context, name, elsewhere=lazy.elsewhere)
        return _loaded(plugin_id, lazy)
    close = nearest(name, [*known, *found.subcommands])
    hints = [f"did you mean {' or '.join(close)}?"] if close else []
    raise click.UsageError("; ".join([f"there is no subcommand {name!r}", *found.unusable, *hints]), context)


class _Found(NamedTuple):
    """What was found.

    Attributes:
        subcommands: name -> the plugin that has it, the first in order of name, and the subcommand.
        unusable: a sentence on each plugin that was selected and cannot be used.
    """

    subcommands: Mapping[str, tuple[str, LazyCommand]]
    unusable: tuple[str, ...]


def _look(options: Options) -> _Found:
    path = locate(options).config
    selection = select(
        only=options.only,
        without=options.without,
        safe_mode=options.safe_mode,
        plugin_dirs=map(Path, options.plugin_dirs),
        environ=os.environ,
        file=read_toml(path) if path is not None else None,
    )
    plugins = load_plugins(selection, builtins={})
    subcommands = {lazy.name: (plugin_id, lazy) for plugin_id, lazy in reversed(plugins.cli())}
    unusable = [record for record in plugins.records if record.state in ("broken", "incompatible")]
    return _Found(subcommands, tuple(f"plugin {record.id} is {record.state}: {record.reason}" for record in unusable))


def _loaded(plugin_id: str, lazy: LazyCommand) -> click.Command:
    """Import it.

    Raises:
        BrokenPlugin: that fails.
    """
    try:
        command: object = lazy.load()
    except Exception as error:
        raise BrokenPlugin(
            f"plugin {plugin_id!r}: its subcommand {lazy.name!r} cannot be loaded: {one_line(error)}",
            {"plugin": plugin_id},
        ) from error
    if not isinstance(command, click.Command):
        kind = type(command).__name__
        raise BrokenPlugin(
            f"plugin {plugin_id!r}: its subcommand {lazy.name!r} is of type {kind}, expected a click command",
            {"plugin": plugin_id},
        )
    return command

"""Subcommands that plugins bring: the plugins are imported only for a name nobody else knows."""

from __future__ import annotations

import os

import click

from trunnion.config.selection import select
from trunnion.config.toml_file import read_toml
from trunnion.launcher.cold import host_options
from trunnion.launcher.options import Options, options_of
from trunnion.launcher.place import locate
from trunnion.model.contributions import LazyCommand
from trunnion.model.errors import TrunnionError
from trunnion.plugins.load import load_plugins


def contributed(context: click.Context, name: str) -> click.Command | None:
    """The subcommand of a plugin; None when no plugin that can be loaded has one of that name."""
    try:
        found = _all(options_of(context))
    except TrunnionError:
        return None
    return next((lazy.load() for lazy in found if lazy.name == name), None)


def _all(options: Options) -> list[LazyCommand]:
    path = locate(options).config
    wanted = host_options(options, "readonly")
    selection = select(
        only=wanted.only,
        without=wanted.without,
        safe_mode=wanted.safe_mode,
        plugin_dirs=wanted.plugin_dirs,
        environ=os.environ,
        file=read_toml(path) if path is not None else None,
    )
    return [lazy for _, lazy in load_plugins(selection, builtins={}).cli()]

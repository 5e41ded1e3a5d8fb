"""``trunnion new`` and ``trunnion check-plugin``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from trunnion.launcher.failures import exit_status
from trunnion.launcher.options import Options, json_option, options_of, screen_of
from trunnion.model.json import JsonObject


@click.command("check-plugin")
@click.argument("what", metavar="DIST_OR_NAME_OR_FOLDER")
@json_option
@click.pass_context
def check(context: click.Context, what: str) -> int:
    """Check a plugin against the contract between plugins and hosts.

    It is an installed distribution or plugin, a folder with a pyproject.toml, or a file. Settings it cannot do
    without are given with --set or --config.
    """
    from trunnion.testing.check import check_plugin

    screen, options = screen_of(context), options_of(context)
    reports = check_plugin(what, _settings(options))
    if screen.as_json:
        screen.value([report.shown() for report in reports])
    else:
        screen.out("".join(f"{report}\n" for report in reports))
    return 0 if all(report.ok for report in reports) else exit_status("failed")


@click.group()
def new() -> None:
    """Write the beginning of something."""


@new.command("plugin")
@click.argument("name")
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path(), help="Where its folder is made.")
@click.pass_context
def new_plugin(context: click.Context, name: str, folder: Path) -> None:
    """Write a plugin that can be installed, with a command, a query, a setting and tests."""
    from trunnion.testing.scaffold import write_plugin

    screen = screen_of(context)
    made = write_plugin(name, folder)
    screen.out(f"{made}\n")
    screen.note(f"next: pip install -e {made} pytest, then pytest {made} and trunnion check-plugin {made}")


def _settings(options: Options) -> Mapping[str, JsonObject]:
    """The sections that --config and --set give; each plugin's own schema judges them later."""
    from trunnion.config.layers import Layer, flag_layers, merge
    from trunnion.config.toml_file import read_toml
    from trunnion.config.values import Origin

    file = [Layer(Origin("file", options.config), read_toml(Path(options.config)).table)] if options.config else []
    table, _ = merge([*file, *flag_layers(options.set, {})])
    return {name: section for name, section in table.items() if isinstance(section, Mapping)}

"""``trunnion config``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from trunnion.launcher.options import json_option, options_of, screen_of

if TYPE_CHECKING:
    from trunnion.launcher.options import Options
    from trunnion.model.json import Json


@click.group()
def config() -> None:
    """Show or check the configuration."""


@config.command()
@json_option
@click.pass_context
def show(context: click.Context) -> None:
    """Show every setting with its value, where it came from and whether a change of it needs a restart.

    It is what is in force on the running host, if there is one; what waits for its next start is shown too.
    """
    from trunnion.launcher.place import locate
    from trunnion.launcher.render import show_table
    from trunnion.launcher.screen import as_text

    options, screen = options_of(context), screen_of(context)
    place = locate(options)
    settings = _settings(options)
    path = str(place.config) if place.config is not None else None
    if screen.as_json:
        screen.value({"config": path, "data_dir": str(place.data.root), "settings": settings})
        return
    screen.note(f"configuration file: {path or 'none'}")
    screen.note(f"data directory: {place.data.root}")
    rows = [[str(s.get("key")), as_text(s.get("value")), str(s.get("source")), _change(s)] for s in settings]
    show_table(screen, rows, ["setting", "value", "from", "change"])


@config.command()
@json_option
@click.pass_context
def check(context: click.Context) -> None:
    """Check the configuration on disk as a start would, whether or not a host is running."""
    from trunnion.launcher.cold import ask_fresh
    from trunnion.launcher.place import locate

    options, screen = options_of(context), screen_of(context)
    found = ask_fresh(options, "host.config-check")
    doubts = found.get("doubts") if isinstance(found, Mapping) else None
    path = locate(options).config
    if screen.as_json:
        screen.value({"ok": True, "config": str(path) if path is not None else None, "doubts": doubts})
    else:
        screen.out(f"{path or 'no configuration file'}: nothing wrong\n")
        for text in doubts if isinstance(doubts, Sequence) else ():
            screen.note(f"doubtful: {text}")


def _change(setting: Mapping[str, Json]) -> str:
    """When a change of a setting takes effect, and the value that waits for that."""
    from trunnion.launcher.screen import as_text

    waits = f": {as_text(setting.get('pending_value'))}" if setting.get("pending") else ""
    return f"{setting.get('reload')}{waits}"


def _settings(options: Options) -> list[Mapping[str, Json]]:
    from trunnion.launcher.hosted import connect
    from trunnion.model.errors import Unavailable

    try:
        client = connect(options)
    except Unavailable:
        from trunnion.launcher.cold import ask_fresh

        return _items(ask_fresh(options, "host.config"))
    with client:
        return _items(client.call("query", {"query_id": "host.config"}))


def _items(value: Json) -> list[Mapping[str, Json]]:
    items = value.get("items") if isinstance(value, Mapping) else None
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, Sequence) else []

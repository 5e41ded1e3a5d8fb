"""``trunnion meta`` and ``trunnion plugins``: what there is, from the running host or from a look at the plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from trunnion.launcher.options import json_option, options_of, screen_of

if TYPE_CHECKING:
    from trunnion.launcher.options import Options
    from trunnion.model.json import Json


def describe(options: Options) -> Mapping[str, Json]:
    """The description of everything, as the running host gives it, or as a host would that starts now.

    Raises:
        TrunnionError: the configuration cannot be used, or the host elsewhere that is meant cannot be reached.
    """
    if options.connect is not None:
        from trunnion.launcher.elsewhere import ask_far

        told = ask_far(options, lambda host: host.meta()).meta
        return told if isinstance(told, Mapping) else {}
    from trunnion.launcher.hosted import connect
    from trunnion.model.errors import Unavailable

    try:
        client = connect(options)
    except Unavailable:
        from trunnion.launcher.cold import ask_fresh

        found = ask_fresh(options, "host.meta")
        return found if isinstance(found, Mapping) else {}
    with client:
        answer = client.call("meta.get")
    meta = answer.get("meta") if isinstance(answer, Mapping) else None
    return meta if isinstance(meta, Mapping) else {}


@click.command()
@json_option
@click.pass_context
def meta(context: click.Context) -> None:
    """List all commands, queries and streams; with --json the whole descriptor, schemas included."""
    from trunnion.launcher.listing import listing

    screen = screen_of(context)
    found = describe(options_of(context))
    if screen.as_json:
        screen.value(found)
    else:
        screen.out(listing(found))


@click.command()
@json_option
@click.pass_context
def plugins(context: click.Context) -> None:
    """List the plugins and what became of them."""
    from trunnion.launcher.render import show_table

    options, screen = options_of(context), screen_of(context)
    records = describe(options).get("plugins")
    if screen.as_json:
        screen.value(records)
        return
    found = _objects(records)
    headers = ["plugin", "state", "distribution", "version", "reason"]
    rows = [_row(record) for record in found]
    if any("trouble" in record for record in found):
        headers.append("trouble")
        rows = [[*row, _trouble(record)] for row, record in zip(rows, found, strict=True)]
    show_table(screen, rows, headers)


def _row(record: Mapping[str, Json]) -> list[str]:
    return [str(record.get(key) or "") for key in ("id", "state", "distribution", "version", "reason")]


def _trouble(record: Mapping[str, Json]) -> str:
    """What a plugin is to blame for, such as ``raised 3: gate 'audit' raised OSError (gate.py:12)``."""
    trouble = record.get("trouble")
    if not isinstance(trouble, Mapping):
        return ""
    place = f" ({trouble['place']})" if trouble.get("place") else ""
    return f"{trouble.get('summary')}: {trouble.get('reason')}{place}"


def _objects(value: Json) -> list[Mapping[str, Json]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, Sequence) else []

"""The hooks of ``trunnion-tty``. What they need is imported when they are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from trunnion import Json, LazyCommand, MetaSection, Setting, hookimpl

if TYPE_CHECKING:
    import click

POINT = "tty"
"""The point of meta under which shells find their settings, wherever they run."""


def _shell() -> click.Command:
    from trunnion_tty.command import shell

    return shell


@hookimpl
def trunnion_cli() -> Iterable[LazyCommand]:
    """``trunnion shell``."""
    yield LazyCommand(
        name="shell", help="Open a shell on the host; start one if none is running.", load=_shell, elsewhere=True
    )


@hookimpl
def trunnion_settings() -> Iterable[Setting]:
    """How shells on this host look and behave; all but the length of the history counts for shells that are open."""
    from trunnion_tty.settings import SCHEMAS

    return [Setting(key=key, reload="live", schema=schema) for key, schema in SCHEMAS.items()]


@hookimpl
def trunnion_meta(settings: Mapping[str, Json]) -> Iterable[MetaSection]:
    """The settings, for shells: they are clients and read no file of the host."""
    yield MetaSection(point=POINT, id="settings", data=dict(settings))

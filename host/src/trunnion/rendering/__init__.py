"""Events as text for people, for whoever owns a terminal: pure functions, nothing here writes or reads anything.

Each name is imported when it is first used, so that a program that prints one line pays for that line alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trunnion.model.tables import Table, TableLook
    from trunnion.rendering.bars import Live, Steps, bar
    from trunnion.rendering.columns import clipped, padded, tagged, width_of, wrapped
    from trunnion.rendering.events import EventRenderer, Rendered
    from trunnion.rendering.folding import Folded, fold
    from trunnion.rendering.neutral import RESET, visible
    from trunnion.rendering.palette import DARK, LIGHT, PLAIN, Palette, Role, Theme, is_dumb, palette_of
    from trunnion.rendering.sizes import readable_size, readable_time
    from trunnion.rendering.table import draw_table, tabbed_table

_MODULES = {
    "model.tables": ("Table", "TableLook"),
    "rendering.bars": ("Live", "Steps", "bar"),
    "rendering.columns": ("clipped", "padded", "tagged", "width_of", "wrapped"),
    "rendering.events": ("EventRenderer", "Rendered"),
    "rendering.folding": ("Folded", "fold"),
    "rendering.neutral": ("RESET", "visible"),
    "rendering.palette": ("DARK", "LIGHT", "PLAIN", "Palette", "Role", "Theme", "is_dumb", "palette_of"),
    "rendering.sizes": ("readable_size", "readable_time"),
    "rendering.table": ("draw_table", "tabbed_table"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "DARK",
    "LIGHT",
    "PLAIN",
    "RESET",
    "EventRenderer",
    "Folded",
    "Live",
    "Palette",
    "Rendered",
    "Role",
    "Steps",
    "Table",
    "TableLook",
    "Theme",
    "bar",
    "clipped",
    "draw_table",
    "fold",
    "is_dumb",
    "padded",
    "palette_of",
    "readable_size",
    "readable_time",
    "tabbed_table",
    "tagged",
    "visible",
    "width_of",
    "wrapped",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'trunnion.rendering' has no attribute {name!r}")
    return getattr(import_module(f"trunnion.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

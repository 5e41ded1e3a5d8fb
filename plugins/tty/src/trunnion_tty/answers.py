"""Answers of queries for people: lists of like objects as tables, all else folded. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from trunnion import Json
from trunnion.rendering import Palette, Table, draw_table, fold, visible, width_of
from trunnion.rendering.table import cell_text

LONGEST_CELL = 40
"""Columns beyond which a field is no column of a table."""

LINES = 400
"""Lines that an answer may take which is no table."""

GAP = 2

TIMES = frozenset({"created", "started", "finished", "modified", "updated", "expires", "last_used", "ts"})
"""Fields that hold UTC microseconds, as the host gives all times."""

THESE_TIMES = range(10**15, 10**16)
"""UTC microseconds from 2001 to 2286: a field of such a name with another number in it counts something else."""


def shown(value: Json, width: int, palette: Palette) -> str:
    """An answer as lines for a terminal.

    Args:
        value: what a query answered.
        width: columns of the terminal.
        palette: colours.
    """
    items = value.get("items") if isinstance(value, Mapping) else value
    rows = [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []
    if not rows or len(rows) != len(items if isinstance(items, list) else []):
        return fold(value, width=width, lines=LINES, palette=palette).text
    columns, left_out = _columns(rows, width)
    if not columns:
        return fold(value, width=width, lines=LINES, palette=palette).text
    table = Table([[_text(row.get(name), name) for name in columns] for row in rows], columns)
    return draw_table(table, width, palette) + palette.paint("muted", _notes(value, left_out))


def _columns(rows: Sequence[Mapping[str, Json]], width: int) -> tuple[list[str], list[str]]:
    """Fields that have room side by side, in the order they come, and those that have none."""
    fitting: list[str] = []
    left_out: list[str] = []
    room = width
    for name in dict.fromkeys(name for row in rows for name in row):
        cells = [_text(row.get(name), name) for row in rows]
        size = max(width_of(name), *(LONGEST_CELL + 1 if cell is None else width_of(cell) for cell in cells))
        if size <= LONGEST_CELL and size <= room:
            fitting.append(name)
            room -= size + GAP
        elif any(cell for cell in cells):
            left_out.append(name)
    return fitting, left_out


def _text(value: Json, name: str) -> str | None:
    """A cell; None for what is no single value."""
    if isinstance(value, int) and name in TIMES and value in THESE_TIMES:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value / 1e6))
    if isinstance(value, Mapping) or (isinstance(value, list) and value):
        return None
    if value is None or value == []:
        return ""
    text = cell_text(value)
    return None if "\n" in text else text


def _notes(value: Json, left_out: Sequence[str]) -> str:
    more = "1 more field has" if len(left_out) == 1 else f"{len(left_out)} more fields have"
    notes = [f"{more} no room here"] if left_out else []
    following = value.get("next") if isinstance(value, Mapping) else None
    notes += [f"there are more: cursor={following}"] if following else []
    return visible("; ".join(notes)) + "\n" if notes else ""

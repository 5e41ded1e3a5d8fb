"""Answers of queries for people: lists of like objects as tables, all else folded. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from trunnion import Json
from trunnion.rendering import Palette, Table, draw_table, fold, visible, width_of
from trunnion.rendering.table import cell_text

LONGEST_CELL = 40
"""Columns beyond which a field stands in a table only if it has sentences, folded."""

NARROWEST = 24
"""Columns below which nothing is folded: a cell in slivers is of use to nobody."""

LONGEST_TEXT = 400
"""Characters of a cell that are shown, however large it is."""

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
    if isinstance(value, Mapping) and items == [] and not value.get("next"):
        return palette.paint("muted", "there are none") + "\n"
    rows = [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []
    if not rows or len(rows) != len(items if isinstance(items, list) else []):
        return fold(value, width=width, lines=LINES, palette=palette).text
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = {name: [_text(row.get(name), name) for row in rows] for name in names}
    columns = _columns(cells, width)
    if not columns:
        return fold(value, width=width, lines=LINES, palette=palette).text
    left_out = sum(1 for name in names if name not in columns and any(cells[name]))
    table = Table([list(row) for row in zip(*(cells[name] for name in columns), strict=True)], columns)
    return draw_table(table, width, palette) + palette.paint("muted", _notes(value, left_out))


def _columns(cells: Mapping[str, Sequence[str]], width: int) -> list[str]:
    """Fields that have room side by side, in the order they come.

    Sentences are what a list is read for: the first field that has long ones is given room before all others, and
    folded. What else is long has none.
    """
    sizes = {name: max(width_of(name), *map(width_of, texts)) for name, texts in cells.items()}
    long = [name for name, size in sizes.items() if size > LONGEST_CELL]
    told = next((name for name in long if any(" " in text for text in cells[name])), None)
    fitting = [told] if told is not None and width >= NARROWEST else []
    room = width - (NARROWEST + GAP) * len(fitting)
    for name, size in sizes.items():
        if size <= LONGEST_CELL and size <= room:
            fitting.append(name)
            room -= size + GAP
    return [name for name in sizes if name in fitting]


def _text(value: Json, name: str) -> str:
    """A cell: one line, however large the value is."""
    if isinstance(value, int) and name in TIMES and value in THESE_TIMES:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value / 1e6))
    if value is None or value == []:
        return ""
    first, *more = cell_text(value).rstrip("\n").split("\n")
    text = f"{first} …" if more else first
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def _notes(value: Json, left_out: int) -> str:
    more = "1 more field has" if left_out == 1 else f"{left_out} more fields have"
    notes = [f"{more} no room here"] if left_out else []
    following = value.get("next") if isinstance(value, Mapping) else None
    notes += [f"there are more: cursor={following}"] if following else []
    return visible("; ".join(notes)) + "\n" if notes else ""

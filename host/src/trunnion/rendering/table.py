"""Tables in columns, without borders: for people at a terminal; for programs as lines with tabs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TypeAlias

from trunnion.model.json import Json
from trunnion.model.tables import Table
from trunnion.rendering.columns import each_coloured, padded, width_of, wrapped
from trunnion.rendering.neutral import visible
from trunnion.rendering.palette import PLAIN, Palette

FOLDED = 40
"""Columns of the terminal beyond which a cell may be folded. Where shorter ones do not fit the terminal wraps the line:
a table of slivers is of use to nobody."""
NARROWEST = FOLDED // 2
"""Columns that a folded cell has at least."""
LONGEST_LINE = 4096
"""Columns beyond which nothing is brought into line: nobody sees it, and blanks without end would have to be made."""

Lines: TypeAlias = Sequence[str]
"""The lines of one cell, neutralised."""


def draw_table(table: Table, width: int, palette: Palette = PLAIN) -> str:
    """A table as lines for a terminal, neutralised.

    Cells are folded where the terminal is too narrow, but never those of the first column, which names the row and is
    copied, nor short ones.

    Args:
        table: what to draw, and how it wants to look.
        width: columns of the terminal.
        palette: roles ``title``, ``header`` and ``rule``.
    """
    look = table.look
    rows = [[_lines(cell) for cell in row] for row in _kept(table)]
    heads = [_lines(header) for header in table.headers]
    widths = _widths([heads, *rows], width - look.indent, look.gap, wrap=look.wrap)
    align = _alignment(table, len(widths))

    def lines_of(row: Sequence[Lines], role: str = "") -> Iterator[str]:
        folded = [
            [part for line in cell for part in wrapped(line, size)] if look.wrap and number else cell
            for number, (cell, size) in enumerate(zip(row, widths, strict=False))
        ]
        for parts in zip_longest(*folded, fillvalue=""):
            painted = [palette.paint(role, part) for part in parts] if role else parts
            line = (" " * look.gap).join(map(padded, painted, widths, align))
            yield f"{' ' * look.indent}{line}".rstrip()

    made = [f"{' ' * look.title_indent}{palette.paint('title', line)}" for line in _title(table, width)]
    if heads:
        # All columns have a header, if an empty one.
        made += lines_of([*heads, *[[""]] * (len(widths) - len(heads))], "header")
        if rule := _rule(look.rule, widths, look.gap):
            made.append(" " * look.indent + palette.paint("rule", rule))
    for row in rows:
        made += lines_of(row) if row else [""]
    return "".join(line + "\n" for line in made)


def tabbed_table(table: Table) -> str:
    """A table as lines of cells with tabs between them, for programs: headers first, no title, nothing neutralised."""
    rows = [[cell_text(cell) for cell in row] for row in _kept(table)]
    lines = [*([list(map(cell_text, table.headers))] if table.headers else []), *rows]
    return "".join("\t".join(map(_in_one_line, line)) + "\n" for line in lines)


def cell_text(value: Json) -> str:
    """A cell as text: nothing for null, text as it is, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _kept(table: Table) -> Iterator[Sequence[Json]]:
    """The rows, without what is beyond the headers where that is to be cut."""
    most = len(table.headers) if table.look.extra == "cut" and table.headers else None
    return (row[:most] for row in table.rows)


def _lines(cell: Json) -> Lines:
    text = visible(cell_text(cell))
    if "\t" in text:
        text = text.expandtabs(4)
    return each_coloured(text.rstrip("\n").split("\n")) if "\n" in text else [text]


def _title(table: Table, width: int) -> Iterator[str]:
    room = width - table.look.title_indent
    for line in _lines(table.title) if table.title else ():
        yield from wrapped(line, room) if table.look.wrap and room >= NARROWEST else [line]


def _widths(rows: Sequence[Sequence[Lines]], room: int, gap: int, *, wrap: bool) -> list[int]:
    """How wide each column is."""
    widths = [0] * max(map(len, rows), default=0)
    for row in rows:
        for number, cell in enumerate(row):
            size = width_of(cell[0]) if len(cell) == 1 else max(map(width_of, cell))
            widths[number] = max(widths[number], size)
    if wrap and sum(widths) + gap * (len(widths) - 1) > room:
        long = [number for number, width in enumerate(widths) if number and width > FOLDED]
        room -= sum(widths) + gap * (len(widths) - 1) - sum(widths[number] for number in long)
        for place, number in enumerate(
            sorted(long, key=widths.__getitem__)
        ):  # the shortest may need less than its share
            widths[number] = min(widths[number], max(NARROWEST, room // (len(long) - place)))
            room -= widths[number]
    return widths if sum(widths) <= LONGEST_LINE else [min(width, FOLDED) for width in widths]


def _alignment(table: Table, columns: int) -> list[str]:
    asked = table.look.align[:columns]
    numeric, other = set[int](), set[int]()
    for row in table.rows:
        for number, cell in enumerate(row):
            if cell is not None:
                is_number = isinstance(cell, int | float) and not isinstance(cell, bool)
                (numeric if is_number else other).add(number)
    numeric -= other
    return [*asked, *("right" if number in numeric else "left" for number in range(len(asked), columns))]


def _rule(rule: str, widths: Sequence[int], gap: int) -> str:
    size = width_of(rule := visible(rule))
    if not size:
        return ""
    return (" " * gap).join(padded(_cut(rule * (width // size + 1), width), width) for width in widths)


def _cut(text: str, width: int) -> str:
    while width_of(text) > width:
        text = text[:-1]
    return text


def _in_one_line(cell: str) -> str:
    return cell.replace("\t", " ").replace("\n", " ")

"""Tables as events carry them: cells, and how they want to look."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal, TypeAlias, TypedDict, Unpack, get_args

import msgspec

from trunnion.model.json import Json, JsonObject

Align: TypeAlias = Literal["left", "right", "center"]
Extra: TypeAlias = Literal["show", "cut"]

WIDEST_BLANK: Final = 100
"""Columns that an indent or a gap may have."""
LONGEST_RULE: Final = 16
_PLACELESS = (range(0x1160, 0x1200), range(0xD7B0, 0xD800), (0x3164, 0xFFA0))
"""Parts of Korean syllables, which are seen on the one before or not at all."""


class TableLook(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a table is drawn on a terminal; elsewhere only ``extra`` counts.

    Attributes:
        align: of each column; those beyond have numbers at the right and all else at the left.
        wrap: fold long cells where the terminal is too narrow; without it the terminal wraps the lines.
        indent: columns in front of each line of the table.
        title_indent: columns in front of the title.
        rule: what is repeated below each header; ``""`` for nothing.
        gap: columns between two columns of the table.
        extra: what becomes of cells beyond the headers: shown below empty ones, or cut.
    """

    align: Sequence[Align] = ()
    wrap: bool = True
    indent: int = 0
    title_indent: int = 0
    rule: str = ""
    gap: int = 2
    extra: Extra = "show"


DEFAULT_LOOK: Final = TableLook()


class TableOptions(TypedDict, total=False):
    """What may be said of a table's look; see ``TableLook``."""

    align: Sequence[Align]
    wrap: bool
    indent: int
    title_indent: int
    rule: str
    gap: int
    extra: Extra


class Table(msgspec.Struct, frozen=True):
    """A table to be drawn.

    Attributes:
        rows, headers: cells of any JSON value; rows may be of different length.
    """

    rows: Sequence[Sequence[Json]]
    headers: Sequence[Json] = ()
    title: str = ""
    look: TableLook = DEFAULT_LOOK


def checked_look(options: TableOptions) -> TableLook:
    """A look as somebody asks for it.

    Raises:
        ValueError: an option is none there is; the message names it.
        TypeError: it is of another type, or there is none of that name.
    """
    odd = options.keys() - set(TableLook.__struct_fields__)
    if odd:
        raise TypeError(f"a table has no option {', '.join(sorted(odd))}, but {', '.join(TableLook.__struct_fields__)}")
    return _checked(TableLook(**options))


def _checked(look: TableLook) -> TableLook:
    align: object = look.align
    if isinstance(align, str) or not isinstance(align, Sequence):
        raise TypeError(f"align of a table is a sequence of left, right and center; got {_short(align)}")
    if not all(each in get_args(Align) for each in align):
        raise ValueError(f"align of a table is a sequence of left, right and center; got {_short(align)}")
    for name in ("indent", "title_indent", "gap"):
        blanks = getattr(look, name)
        if isinstance(blanks, bool) or not isinstance(blanks, int):
            raise TypeError(f"{name} of a table is a number of columns; got {_short(blanks)}")
        if not 0 <= blanks <= WIDEST_BLANK:
            raise ValueError(f"{name} of a table is from 0 to {WIDEST_BLANK} columns; got {_short(blanks)}")
    if not isinstance(look.wrap, bool):
        raise TypeError(f"wrap of a table is True or False; got {_short(look.wrap)}")
    if not isinstance(look.rule, str):
        raise TypeError(f"rule of a table is text; got {_short(look.rule)}")
    if len(look.rule) > LONGEST_RULE or not all(map(_takes_place, look.rule)):
        raise ValueError(f"rule of a table is up to {LONGEST_RULE} visible characters; got {_short(look.rule)}")
    if look.extra not in get_args(Extra):
        raise ValueError(f"extra of a table is show or cut; got {_short(look.extra)}")
    return msgspec.structs.replace(look, align=tuple(align))


def table_data(
    rows: Sequence[Sequence[Json]], headers: Sequence[str], title: str, **look: Unpack[TableOptions]
) -> JsonObject:
    """What the event of a table carries; of the look only what is out of the ordinary.

    Raises:
        ValueError, TypeError: as of ``checked_look``.
    """
    data: dict[str, Json] = {"headers": list(headers), "rows": [list(row) for row in rows], "title": title}
    return {**data, **msgspec.to_builtins(checked_look(look))} if look else data


def table_of(data: Json) -> Table:
    """The table an event carries. Whoever emitted it may have checked nothing: what does not fit counts as not said."""
    found = data if isinstance(data, Mapping) else {}
    title = found.get("title")
    rows = [_items(row) for row in _items(found.get("rows"))]
    return Table(rows, _items(found.get("headers")), title if isinstance(title, str) else "", _look_of(found))


def _look_of(data: Mapping[str, Json]) -> TableLook:
    look = DEFAULT_LOOK
    for name in TableLook.__struct_fields__:
        if name in data:
            with suppress(msgspec.ValidationError, ValueError):
                look = _checked(msgspec.convert({**msgspec.to_builtins(look), name: data[name]}, TableLook))
    return look


def _short(value: object) -> str:
    return ascii(value)[:60]


def _takes_place(char: str) -> bool:
    """Whether a character is seen where it stands, rather than on the one before it or not at all."""
    if any(ord(char) in block for block in _PLACELESS):
        return False
    return char.isprintable() and unicodedata.category(char)[0] != "M"


def _items(value: Json) -> Sequence[Json]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()

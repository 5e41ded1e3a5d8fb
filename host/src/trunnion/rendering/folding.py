"""JSON for people: on one line where it fits, else indented, and no longer than it may be."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from trunnion.model.json import Json
from trunnion.rendering.columns import clipped, width_of
from trunnion.rendering.neutral import visible
from trunnion.rendering.palette import PLAIN, Palette, Role

INDENT: Final = "  "
SHORTEST: Final = 8
"""Columns a key has at least."""
WIDEST: Final = 400
"""Columns of one line, however wide the terminal is."""
NARROWEST: Final = 48
"""Columns of one line, however narrow the terminal is."""
LEAST: Final = 30
"""Columns a value has at least: keys are cut for that, and it takes as many to begin a list that is cut."""
_BRACKETS = {True: ("{", "}"), False: ("[", "]")}

_Parts: TypeAlias = "Mapping[str, Json] | Sequence[Json]"
_Piece: TypeAlias = "tuple[Role | None, str]"


class Folded(NamedTuple):
    """JSON as text.

    Attributes:
        text: lines, neutralised, each with its end.
        is_whole: whether nothing was left out.
    """

    text: str
    is_whole: bool = True


def fold(value: Json, *, width: int, lines: int, palette: Palette = PLAIN) -> Folded:
    """JSON for a person at a terminal: compact where it fits one line, else indented.

    Where it would be more than ``lines`` lines, ``… 95 more`` stands for what is left out. Each entry of an object or a
    list is given a line before any gets more. Text is printed as it is.

    Args:
        value: what to print.
        width: columns of the terminal.
        lines: how many of its lines there are; an object or a list takes three at least.
        palette: roles ``key``, ``string``, ``number`` and ``muted``.
    """
    if isinstance(value, str):
        return Folded(visible(value.rstrip("\n")) + "\n")
    folder = _Folder(min(WIDEST, max(NARROWEST, width)), palette)
    made, _ = folder.lines(value, "", 0, max(3, lines))
    return Folded("".join(line + "\n" for line in made), not folder.left_out)


class _Folder:
    """Folds one value; notes whether something was left out."""

    def __init__(self, width: int, palette: Palette) -> None:
        self._width = width
        self._palette = palette
        self.left_out = False

    def lines(self, value: Json, margin: str, before: int, most: int) -> tuple[list[str], int]:
        """A value as lines, and how many lines of the terminal they take.

        Args:
            value: what to print.
            margin: stands in front of each line but the first.
            before: columns of the first line that are taken.
            most: how many lines of the terminal there are.
        """
        room = self._width - before - 1  # for a comma
        if (whole := self._compact(value, room)) is not None:
            return [whole], 1
        if isinstance(value, str):
            return self._long_text(value, room, most)
        if not isinstance(value, Mapping | Sequence):
            return [self._painted(_pieces(value))], 1
        if most > 3 and (filled := self._filled(value, margin + INDENT, most - 3)) is not None:
            return ["[", *filled, margin + "]"], 2 + len(filled)
        is_deep = len(margin + INDENT) + SHORTEST + LEAST > self._width
        if is_deep or len(value) > most - 2:
            line, shown = self._cut(value, room)
            if is_deep or most < 3 or shown >= most - 3:
                return [line], 1
        return self._opened(value, margin, most)

    def _opened(self, value: _Parts, margin: str, most: int) -> tuple[list[str], int]:
        """One entry a line; those that need more share what is left."""
        count, inner = len(value), margin + INDENT
        shown = count if count <= most - 2 else most - 3
        entries = [(self._name(key, inner), child) for key, child in islice(_entries(value), shown)]
        long = [self._compact(child, self._width - len(inner) - width_of(name) - 1) is None for name, child in entries]
        used, spare, hungry = 2 + (shown < count), most - 2 - (shown < count) - shown, sum(long)
        begin, end = _BRACKETS[isinstance(value, Mapping)]
        made = [begin]
        for number, (name, child) in enumerate(entries):
            share = spare // hungry if long[number] else 0
            found, took = self.lines(child, inner, len(inner) + width_of(name), 1 + share)
            used, spare, hungry = used + took, spare - (took - 1), hungry - long[number]
            made += [inner + name + found[0], *found[1:]]
            made[-1] += "," if number + 1 < count else ""
        if shown < count:
            made.append(inner + self._more(f"… {count - shown} more"))
        return [*made, margin + end], used

    def _filled(self, value: _Parts, margin: str, most: int) -> list[str] | None:
        """Numbers, as many in a line as it takes; None where there is anything else."""
        made, line, room = list[str](), list[str](), 0
        for number, child in enumerate(value):
            if isinstance(value, Mapping) or not isinstance(child, int | float | None):
                return None
            text = json.dumps(child)
            room -= len(text) + len(", ")
            if room < 0:
                made.append(margin + ", ".join(line) + ",")
                if len(made) > most:
                    return [*made[1:], margin + self._more(f"… {len(value) - number} more")]
                line, room = [], self._width - len(margin) - len(text) - len(", ")
            line.append(self._palette.paint("number", text))
        return [*made[1:], margin + ", ".join(line)]

    def _name(self, key: str | None, margin: str) -> str:
        """What stands before a value."""
        if key is None:
            return ""
        quoted, room = _quoted(key), self._width - len(margin) - LEAST
        if width_of(quoted) > room:
            self.left_out, quoted = True, clipped(quoted, room - 1) + '"'
        return self._palette.paint("key", quoted) + ": "

    def _long_text(self, text: str, room: int, most: int) -> tuple[list[str], int]:
        """Text the terminal has to wrap, cut where it has no room for it."""
        whole = room + (most - 1) * self._width
        left_out = f" … of {len(text)} characters"
        quoted = _quoted(text[: 8 * whole])
        if len(text) > 8 * whole or width_of(quoted) > whole:
            kept = clipped(quoted, max(2, whole - len(left_out))).removesuffix("…")
            shown = self._palette.paint("string", kept + '"') + self._more(left_out)
            return [shown], 1 + max(0, width_of(shown) - room + self._width - 1) // self._width
        return [self._palette.paint("string", quoted)], 1 + (width_of(quoted) - room + self._width - 1) // self._width

    def _cut(self, value: _Parts, room: int) -> tuple[str, int]:
        """A list or an object on one line, as much of it as there is room for, and how many entries that is."""
        begin, end = _BRACKETS[isinstance(value, Mapping)]
        made = begin
        room -= len(f"{begin}… {len(value)} more{end}")
        for number, (key, child) in enumerate(_entries(value)):
            name = list(_key_pieces(key))
            left = room - sum(width_of(text) for _, text in name) - len(", ")
            entry = self._compact(child, left)
            if entry is None and isinstance(child, Mapping | Sequence) and not isinstance(child, str) and left >= LEAST:
                entry, _ = self._cut(child, left)
            if entry is None:
                return made + self._more(f"… {len(value) - number} more") + end, number
            made += self._painted(name) + entry + ", "
            room = left - width_of(entry)
        return made.removesuffix(", ") + end, len(value)

    def _compact(self, value: Json, room: int) -> str | None:
        """A value on one line; None where that is too long."""
        pieces = []
        for piece in _pieces(value):
            room -= width_of(piece[1])
            if room < 0:
                return None
            pieces.append(piece)
        return self._painted(pieces)

    def _painted(self, pieces: Iterable[_Piece]) -> str:
        return "".join(self._palette.paint(role, text) if role else text for role, text in pieces)

    def _more(self, text: str) -> str:
        self.left_out = True
        return self._palette.paint("muted", text)


def _pieces(value: Json) -> Iterator[_Piece]:
    """A value in compact form, piece by piece, so that one without end need not be made."""
    if isinstance(value, str):
        # One that is cut here is longer than any line all the same.
        yield "string", _quoted(value[: 8 * WIDEST])
    elif isinstance(value, Mapping | Sequence):
        begin, end = _BRACKETS[isinstance(value, Mapping)]
        yield None, begin
        for number, (key, child) in enumerate(_entries(value)):
            if number:
                yield None, ", "
            yield from _key_pieces(key)
            yield from _pieces(child)
        yield None, end
    else:
        yield "number", json.dumps(value)


def _key_pieces(key: str | None) -> Iterator[_Piece]:
    if key is not None:
        yield "key", _quoted(key)
        yield None, ": "


def _entries(value: _Parts) -> Iterator[tuple[str | None, Json]]:
    return iter(value.items()) if isinstance(value, Mapping) else ((None, child) for child in value)


def _quoted(text: str) -> str:
    return visible(json.dumps(text, ensure_ascii=False))

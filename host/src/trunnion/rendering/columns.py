"""How much room text takes on a terminal, and how it is brought into less."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from trunnion.rendering.neutral import COLOUR, RESET

_colour = re.compile(COLOUR)
_RESETS = frozenset({"\x1b[m", RESET, "\x1b[00m"})


def width_of(text: str) -> int:
    """Columns that one line of neutralised text takes, colours not counted."""
    if "\x1b" in text:
        text = _colour.sub("", text)
    return len(text) if text.isascii() else sum(size for _, size in _characters(text))


def padded(text: str, width: int, align: str = "left") -> str:
    """``text`` with blanks up to a width; what is longer stays as it is."""
    room = width - width_of(text)
    if room <= 0:
        return text
    left = {"right": room, "center": room // 2}.get(align, 0)
    return " " * left + text + " " * (room - left)


def clipped(text: str, width: int) -> str:
    """One line cut to a width, with ``…`` where something is missing."""
    if width_of(text) <= width:
        return text
    kept, room = [], width - 1
    for atom, size in _atoms(text):
        if size > room:
            break
        kept.append(atom)
        room -= size
    return "".join(kept) + ("…" if width > 0 else "") + (RESET if "\x1b" in text else "")


def wrapped(text: str, width: int) -> list[str]:
    """One line as several that fit a width: between words where there are any, else wherever it is full.

    Blanks at a break are left out. Colour goes on in the next line and ends with each.
    """
    if width_of(text) <= width:
        return [text]
    plain = text.isascii() and "\x1b" not in text
    return _wrapped_ascii(text, width) if plain else each_coloured(_wrapped_atoms(text, width))


def each_coloured(lines: Sequence[str]) -> list[str]:
    """Lines of one text, each with the colours it has where they stand below one another."""
    if not any("\x1b" in line for line in lines):
        return list(lines)
    made, active = [], ""
    for line in lines:
        begun = active + line
        for code in _colour.findall(line):
            active = "" if code in _RESETS else active + code
        made.append(begun + RESET if active else begun)
    return made


def tagged(text: str, tag: str) -> str:
    """Whole lines of neutralised text with a tag in front of each, which keeps its colour and they theirs."""
    body, end = (text[:-1], "\n") if text.endswith("\n") else (text, "")
    if "\x1b" in body:
        return "\n".join(tag + line for line in each_coloured(body.split("\n"))) + end
    return tag + body.replace("\n", "\n" + tag) + end


def _wrapped_ascii(text: str, width: int) -> list[str]:
    width, lines, at = max(1, width), [], 0
    while len(text) - at > width:
        cut = text.rfind(" ", at + 1, at + width + 1)
        if cut < 0 or not text[at:cut].strip():
            cut = at + width
        lines.append(text[at:cut].rstrip())
        at = cut
        while text[at : at + 1] == " ":
            at += 1
    return [*lines, text[at:]] if at < len(text) else lines


def _wrapped_atoms(text: str, width: int) -> list[str]:
    lines: list[str] = []
    line: list[tuple[str, int]] = []
    used = blank = 0  # columns of the line; where in it its last blank stands that is no indent
    is_begun = False
    for atom, size in _atoms(text):
        if used + size > width and used:
            rest = line[blank + 1 :] if blank and atom != " " else []
            lines.append(_joined(line[:blank] if rest else line))
            line, used, blank, is_begun = rest, sum(each for _, each in rest), 0, bool(rest)
        if atom == " " and is_begun:
            blank = len(line)
        if atom != " " or used or not lines:
            line.append((atom, size))
            used += size
            is_begun = is_begun or (atom != " " and size > 0)
    return [*lines, _joined(line)] if line else lines


def _joined(line: Sequence[tuple[str, int]]) -> str:
    return "".join(atom for atom, _ in line).rstrip()


def _atoms(text: str) -> Iterator[tuple[str, int]]:
    """What cannot be cut, each with its width: colours, and what is seen as one character."""
    at = 0
    for match in _colour.finditer(text):
        yield from _characters(text[at : match.start()])
        yield match[0], 0
        at = match.end()
    yield from _characters(text[at:])


def _characters(text: str) -> Iterator[tuple[str, int]]:
    if text.isascii():
        yield from ((char, 1) for char in text)
        return
    # Late: its tables cost tens of milliseconds, and most text is ASCII.
    from wcwidth import iter_graphemes, wcswidth

    yield from ((char, 1 if char.isascii() else max(0, wcswidth(char))) for char in iter_graphemes(text))

"""Raw lines and lists of words: one splitter for every door, and its inverse."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from trunnion.model.errors import InvalidArguments

_BLANKS = " \t\r\n"
_piece = re.compile(
    r"""(?P<plain>[^ \t\r\n\\'"]+)
      | \\(?P<escaped>.)
      | '(?P<single>[^']*)'
      | "(?P<double>(?:[^"\\]|\\.)*)"
    """,
    re.VERBOSE | re.DOTALL,
)
_double_escape = re.compile(r"\\([\\\"])")


class Word(NamedTuple):
    """One word of a line.

    Attributes:
        text: what it means, without quotes.
        raw: how it is written.
        start: where it begins in the line, counted from 0.
    """

    text: str
    raw: str
    start: int

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + len(self.raw)


class Scan(NamedTuple):
    """A line taken apart, as far as it goes.

    Attributes:
        words: the whole ones, and last the one a quote of which is still open.
        unfinished: the place, from 0, of the open quote or lone backslash the line ends in; None if there is none.
    """

    words: list[Word]
    unfinished: int | None = None


def split_line(line: str) -> list[str]:
    r"""Split a raw line into words by the quoting rules of a POSIX shell, without any expansion.

    Blanks separate words; ``'...'`` is literal; in ``"..."`` a backslash escapes ``"`` and itself only;
    elsewhere a backslash escapes any character. There are no comments, variables or globs.

    Raises:
        InvalidArguments: a quote is never closed, or the line ends in a lone backslash; the message
            and ``details["position"]`` (counted from 1) say where.
    """
    scan = scan_line(line)
    if scan.unfinished is not None:
        raise _unfinished(line, scan.unfinished)
    return [word.text for word in scan.words]


def scan_line(line: str) -> Scan:
    """The words of a line with their places, by the rules of ``split_line``; a line half typed has words too."""
    words: list[Word] = []
    position, end = 0, len(line)
    while position < end:
        if line[position] in _BLANKS:
            position += 1
            continue
        text, stop, broken = _word(line, position)
        if broken:
            words.append(Word(text + _open_text(line, stop), line[position:], position))
            return Scan(words, stop)
        words.append(Word(text, line[position:stop], position))
        position = stop
    return Scan(words)


def _word(line: str, position: int) -> tuple[str, int, bool]:
    """The word at a place, where it ends or breaks off, and whether it does."""
    pieces: list[str] = []
    while position < len(line) and line[position] not in _BLANKS:
        match = _piece.match(line, position)
        if match is None:
            return "".join(pieces), position, True
        text = match.group(match.lastgroup or 0)
        pieces.append(_double_escape.sub(r"\1", text) if match.lastgroup == "double" else text)
        position = match.end()
    return "".join(pieces), position, False


def _open_text(line: str, quote: int) -> str:
    """What stands behind a quote that is still open; nothing behind a lone backslash."""
    rest = line[quote + 1 :]
    return _double_escape.sub(r"\1", rest) if line[quote] == '"' else rest


def _unfinished(line: str, position: int) -> InvalidArguments:
    what = "the line ends in a backslash" if line[position] == "\\" else f"the quote {line[position]} is never closed"
    message = f"{what} (character {position + 1}); close it, or put a backslash before it to mean it literally"
    return InvalidArguments(message, {"position": position + 1, "problems": [{"path": "", "message": message}]})


def join_line(argv: Sequence[str]) -> str:
    """Quote and join words so that ``split_line`` gives back exactly these words."""
    return shlex.join(argv)

"""Raw lines and lists of words: one splitter for every door, and its inverse."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

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


def split_line(line: str) -> list[str]:
    r"""Split a raw line into words by the quoting rules of a POSIX shell, without any expansion.

    Blanks separate words; ``'...'`` is literal; in ``"..."`` a backslash escapes ``"`` and itself only;
    elsewhere a backslash escapes any character. There are no comments, variables or globs.

    Raises:
        InvalidArguments: a quote is never closed, or the line ends in a lone backslash; the message
            and ``details["position"]`` (counted from 1) say where.
    """
    words: list[str] = []
    position, end = 0, len(line)
    while position < end:
        if line[position] in _BLANKS:
            position += 1
            continue
        word, position = _word(line, position)
        words.append(word)
    return words


def _word(line: str, position: int) -> tuple[str, int]:
    pieces: list[str] = []
    while position < len(line) and line[position] not in _BLANKS:
        match = _piece.match(line, position)
        if match is None:
            raise _unfinished(line, position)
        text = match.group(match.lastgroup or 0)
        pieces.append(_double_escape.sub(r"\1", text) if match.lastgroup == "double" else text)
        position = match.end()
    return "".join(pieces), position


def _unfinished(line: str, position: int) -> InvalidArguments:
    what = "the line ends in a backslash" if line[position] == "\\" else f"the quote {line[position]} is never closed"
    message = f"{what} (character {position + 1}); close it, or put a backslash before it to mean it literally"
    return InvalidArguments(message, {"position": position + 1, "problems": [{"path": "", "message": message}]})


def join_line(argv: Sequence[str]) -> str:
    """Quote and join words so that ``split_line`` gives back exactly these words."""
    return shlex.join(argv)

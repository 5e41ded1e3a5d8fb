r"""What is typed, taken apart: statements out of text, and what kind each of them is. Pure.

Text has one statement a line. A line end within quotes, or behind a backslash, does not end a statement; a comment and
a line for the system's shell are no words, so that of these two only the latter goes on behind a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from trunnion.arguments import Word, join_line, scan_line

BACKGROUND = "&"
SYSTEM = "!"
COMMENT = "#"
END_OF_OPTIONS = "--"

_BLANKS = " \t\r\n"
_SPLIT = frozenset(_BLANKS + "'\"\\")
_continued = re.compile(r"\\\r?\n")
_plain = re.compile(r"""[^\\'"\n]+|\\.|'[^']*'|(?P<open>'[^']*\Z)|(?P<quote>")""", re.DOTALL)
_quoted = re.compile(r"""[^\\"]+|\\.|(?P<quote>")""", re.DOTALL)
_raw = re.compile(r"[^\\\n]+|\\.", re.DOTALL)
_comment = re.compile(r"[^\n]+")
_first = re.compile(r"[ \t\r]*(.?)")


class Statement(NamedTuple):
    """One statement.

    Attributes:
        text: as it was typed, without the mark for the background; of a system line, what stands behind ``!``.
        words: what the text consists of; the last one may be half typed.
        background: whether ``&`` stands at its end.
        system: whether it is for the system's own shell.
        comment: whether it says nothing to anybody but readers.
        unfinished: whether a quote is open, or a backslash waits for more.
        offset: where ``text`` begins in what was typed.
    """

    text: str
    words: list[Word]
    background: bool = False
    system: bool = False
    comment: bool = False
    unfinished: bool = False
    offset: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.text.strip() if self.system else not self.words


class Piece(NamedTuple):
    """One statement as it lies in a text.

    Attributes:
        begin, end: its places.
        line: it, without what only continues a line.
        unfinished: whether it goes on: a quote is open, or it ends in a backslash.
    """

    begin: int
    end: int
    line: str
    unfinished: bool


def statements(text: str) -> list[str]:
    """The statements of a text, in order, without blank ones and comments, and without what continues a line."""
    return [line for _, line in numbered(text)]


def numbered(text: str, is_whole: Callable[[str], bool] = lambda _: False) -> Iterator[tuple[int, str]]:
    """The same, each with the number of the line in the text that it begins in.

    Args:
        text: statements.
        is_whole: asked of the line a statement begins with that goes on in the next one, once all before it were
            taken: whether it is a statement by itself, as where quotes mean nothing.
    """
    number, counted, begin = 1, 0, 0
    while begin <= len(text):
        piece = _piece(text, begin)
        end = text.find("\n", begin, piece.end)
        if end >= 0 and is_whole(text[begin:end]):
            piece = Piece(begin, end, text[begin:end], False)
        if piece.line.strip() and not _begins(piece.line, COMMENT):
            number, counted = number + text.count("\n", counted, begin), begin
            yield number, piece.line
        begin = piece.end + 1


@lru_cache(maxsize=16)
def last_statement(text: str) -> Piece:
    """The statement at the end of a text, whole or not.

    Where a line is being typed this is asked for some thirty times with each key, so the answer is kept: of a long
    text that was pasted it takes milliseconds.
    """
    return pieces(text)[-1]


def is_unfinished(text: str) -> bool:
    """Whether Enter should go on to another line: the last statement has an open quote or ends in a backslash."""
    return last_statement(text).unfinished


def pieces(text: str) -> list[Piece]:
    """All statements of a text, blank ones and comments among them; an empty text has one that is blank."""
    found: list[Piece] = []
    begin = 0
    while True:
        piece = _piece(text, begin)
        found.append(piece)
        if piece.end >= len(text):
            return found
        begin = piece.end + 1


def _piece(text: str, begin: int) -> Piece:
    """The statement that begins at a place: up to a line end outside of quotes, or the end of the text."""
    kept: list[str] = []
    position, outside, is_open = begin, _outside(text, begin), False
    inside: re.Pattern[str] | None = None
    while position < len(text):
        if outside is not _comment and (skipped := _continued.match(text, position)):
            position = skipped.end()
            continue
        match = (inside or outside).match(text, position)
        if match is None:  # a line end, or a backslash with nothing behind it
            break
        if match.lastgroup == "quote":
            inside = None if inside is not None else _quoted
        is_open = match.lastgroup == "open"
        kept.append(match[0])
        position = match.end()
    if position < len(text) and text[position] == "\\":
        return Piece(begin, position + 1, "".join(kept) + "\\", True)
    return Piece(begin, position, "".join(kept), is_open or inside is not None)


def _outside(text: str, begin: int) -> re.Pattern[str]:
    first = _first.match(text, begin)
    mark = first[1] if first is not None else ""
    return {SYSTEM: _raw, COMMENT: _comment}.get(mark, _plain)


def _begins(line: str, mark: str) -> bool:
    return line.lstrip(_BLANKS).startswith(mark)


def read_statement(line: str) -> Statement:
    """Take one statement apart."""
    stripped = line.lstrip(_BLANKS)
    offset = len(line) - len(stripped)
    if stripped.startswith(SYSTEM):
        return Statement(stripped[1:], [], system=True, offset=offset + 1)
    if stripped.startswith(COMMENT):
        return Statement("", [], comment=True, offset=offset)
    scan = scan_line(line)
    words = scan.words
    if scan.unfinished is not None or not words or words[-1].raw != BACKGROUND:
        return Statement(line, words, unfinished=scan.unfinished is not None)
    return Statement(line[: words[-1].start], words[:-1], background=True)


class Options(NamedTuple):
    """What a command line of words needs to know of the arguments it is for.

    Attributes:
        names: what may stand before ``=`` -> the option it means, without the dashes.
        takes_value: whether a word is an option whose value is the next word.
    """

    names: Mapping[str, str] = {}
    takes_value: Callable[[str], bool] = lambda _: False

    def named(self, word: Word) -> tuple[str, str] | None:
        """``litres=3`` as name and value where an argument has this name and nothing of it is quoted; else None."""
        name, equals, _ = word.raw.partition("=")
        if not equals or name not in self.names or not word.text.startswith(f"{name}="):
            return None
        return name, word.text[len(name) + 1 :]

    def free(self, words: Sequence[Word]) -> list[bool]:
        """Of each word whether it is read by what it looks like: not the value of an option, nor behind ``--``."""
        found: list[bool] = []
        is_value = only_words = False
        for word in words:
            found.append(not is_value and not only_words)
            if found[-1]:
                only_words = word.text == END_OF_OPTIONS
                is_value = self.takes_value(word.text)
            else:
                is_value = False
        return found


def options_of(options: Mapping[str, str], takes_value: Callable[[str], bool]) -> Options:
    """Of arguments with their options: either of the two may stand before ``=``."""
    return Options({**{option: option for option in options.values()}, **options}, takes_value)


def to_argv(words: Sequence[Word], options: Options) -> list[str]:
    """Words as the command line all doors take: ``name=value`` becomes the option of that name.

    Args:
        words: behind the name of the command.
        options: of its arguments.
    """
    read = zip(words, options.free(words), strict=True)
    return [_spelled(word, options) if free else word.text for word, free in read]


def _spelled(word: Word, options: Options) -> str:
    named = options.named(word)
    return word.text if named is None else f"--{options.names[named[0]]}={named[1]}"


def to_line(name: str, argv: Sequence[str], options: Options) -> str:
    """The line that ``to_argv`` reads as these words."""
    return " ".join([name, *(quoted(word, options) for word in argv)])


def as_typed(words: Sequence[str]) -> str:
    """Words as text that they can be typed as: one is such a text itself, several are quoted where they have to be."""
    if len(words) == 1:
        return words[0]
    return " ".join(join_line([word]) if not word or set(word) & _SPLIT else word for word in words)


def quoted(word: str, options: Options) -> str:
    """A word as it is typed: what would pass for ``name=value`` is quoted."""
    plain = join_line([word])
    return f"'{word}'" if plain == word and options.named(Word(word, word, 0)) is not None else plain

r"""What is typed, taken apart: statements out of text, and what kind each of them is. Pure.

Text has one statement a line. A line end within quotes, or behind a backslash, does not end a statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trunnion.arguments import Word, join_line, scan_line

CONTINUED = "\\\n"
BACKGROUND = "&"
SYSTEM = "!"
COMMENT = "#"


class Statement(NamedTuple):
    """One statement.

    Attributes:
        text: as it was typed, without the mark for the background; of a system line, what stands behind ``!``.
        words: what the text consists of; the last one may be half typed.
        background: whether ``&`` stands at its end.
        system: whether it is for the system's own shell.
        unfinished: whether a quote is open, or a backslash waits for more.
        offset: where ``text`` begins in what was typed.
    """

    text: str
    words: list[Word]
    background: bool = False
    system: bool = False
    unfinished: bool = False
    offset: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.text.strip() if self.system else not self.words


def statements(text: str) -> list[str]:
    """The statements of a text, in order, without blank ones and comments, and without what continues a line."""
    found: list[str] = []
    begin = 0
    while begin < len(text):
        end = _end_of(text, begin)
        line = text[begin:end].replace(CONTINUED, "")
        begin = end + 1
        if line.strip() and not line.lstrip().startswith(COMMENT):
            found.append(line)
    return found


def last_statement(text: str) -> str:
    """The statement at the end of a text, whole or not."""
    begin = 0
    while (end := _end_of(text, begin)) < len(text):
        begin = end + 1
    return text[begin:]


def is_unfinished(text: str) -> bool:
    """Whether Enter should go on to another line: the last statement has an open quote or ends in a backslash."""
    last = last_statement(text)
    if last.lstrip().startswith((COMMENT, SYSTEM)):
        return last.endswith("\\")
    return scan_line(last).unfinished is not None


def read_statement(line: str) -> Statement:
    """Take one statement apart."""
    stripped = line.lstrip()
    offset = len(line) - len(stripped)
    if stripped.startswith(SYSTEM):
        return Statement(stripped[1:], [], system=True, offset=offset + 1)
    if stripped.startswith(COMMENT):
        return Statement("", [], offset=offset)
    scan = scan_line(line)
    words = scan.words
    if scan.unfinished is not None or not words or words[-1].raw != BACKGROUND:
        return Statement(line, words, unfinished=scan.unfinished is not None)
    return Statement(line[: words[-1].start], words[:-1], background=True)


def named_value(word: Word, names: frozenset[str]) -> tuple[str, str] | None:
    """``litres=3`` as name and value where an argument has this name and nothing of it is quoted; else None."""
    name, equals, _ = word.raw.partition("=")
    if not equals or (name.replace("-", "_") not in names and name not in names):
        return None
    return name, word.text[len(name) + 1 :]


def to_argv(words: Sequence[Word], names: frozenset[str]) -> list[str]:
    """Words as the command line all doors take: ``name=value`` becomes the option of that name.

    Args:
        words: behind the name of the command.
        names: its arguments.
    """
    argv: list[str] = []
    for number, word in enumerate(words):
        if word.raw == "--":
            return [*argv, *(rest.text for rest in words[number:])]
        named = named_value(word, names)
        argv.append(word.text if named is None else f"--{named[0].replace('_', '-')}={named[1]}")
    return argv


def to_line(name: str, argv: Sequence[str], names: frozenset[str]) -> str:
    """The line that ``to_argv`` reads as these words: what would pass for ``name=value`` is quoted."""
    return " ".join([name, *(_quoted(word, names) for word in argv)])


def _quoted(word: str, names: frozenset[str]) -> str:
    plain = join_line([word])
    looks_named = named_value(Word(word, word, 0), names) is not None
    return f"'{word}'" if plain == word and looks_named else plain


def _end_of(text: str, begin: int) -> int:
    """Where the statement that begins here ends: at a line end outside of quotes, or with the text."""
    position, quote = begin, ""
    raw = text[begin:].lstrip(" \t")[:1] in (SYSTEM, COMMENT)
    while position < len(text):
        character = text[position]
        if character == "\\" and quote != "'":
            position += 2
            continue
        if character == "\n" and not quote:
            return position
        if raw:
            pass
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        position += 1
    return len(text)

"""Reading the one TOML file, and finding the line a key stands on."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from trunnion.config.trust import read_trusted
from trunnion.model.errors import InvalidConfig
from trunnion.model.json import Json, JsonObject

KeyPath: TypeAlias = tuple[str, ...]
Table: TypeAlias = dict[str, Json]

MAX_DEPTH = 100
_TOO_DEEP = f"it nests deeper than {MAX_DEPTH} levels"
_TOO_LONG = "it holds an integer of more than 64 bits"
_header = re.compile(r"\s*\[{1,2}([^\[\]]+)\]{1,2}\s*(?:#.*)?")


class TomlFile(msgspec.Struct, frozen=True):
    """A configuration file as read."""

    path: Path
    text: str
    table: JsonObject

    def line_of(self, key: Sequence[str]) -> int | None:
        """The line, from 1, on which ``key`` or the nearest table around it is written; None if unknown."""
        lines = locate_keys(self.text)
        for length in range(len(key), 0, -1):
            if (line := lines.get(tuple(key[:length]))) is not None:
                return line
        return None


def read_toml(path: Path) -> TomlFile:
    """Read and parse ``path``.

    Raises:
        InvalidConfig: it is not there, cannot be read, is open to changes by everybody, is not UTF-8, or is not
            TOML; the message carries ``file:line:column`` in the last case.
    """
    try:
        text = read_trusted(path).decode("utf-8")
    except OSError as error:
        raise InvalidConfig(f"{path}: the configuration cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidConfig(f"{path}: the configuration is not UTF-8 text (byte {error.start})") from error
    try:
        table = parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfig(f"{path}:{_position(str(error), text)}") from error
    return TomlFile(path, text, plain_table(table))


def parse_toml(text: str) -> dict[str, object]:
    """Parse TOML from outside, so that whatever is wrong with it is one kind of error.

    Raises:
        TOMLDecodeError: it is no TOML, nests deeper than ``MAX_DEPTH``, or holds an integer beyond 64 bits.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise tomllib.TOMLDecodeError(_TOO_DEEP) from None
    except ValueError:
        raise tomllib.TOMLDecodeError(_TOO_LONG) from None
    _judge(table)
    return table


def _judge(table: object) -> None:
    depth, level = 0, [table]
    while level:
        if depth > MAX_DEPTH:
            raise tomllib.TOMLDecodeError(_TOO_DEEP)
        if any(isinstance(item, int) and not -(2**63) <= item < 2**63 for item in level):
            raise tomllib.TOMLDecodeError(_TOO_LONG)
        depth, level = depth + 1, [member for item in level for member in _members(item)]


def _members(item: object) -> Iterable[object]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()


def plain_table(table: Mapping[str, object]) -> Table:
    """A TOML table as JSON data; dates and times become ISO 8601 text."""
    return {key: _plain(value) for key, value in table.items()}


def _plain(value: object) -> Json:
    if isinstance(value, dict):
        return plain_table(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"TOML has no value of type {type(value).__name__}")


def _position(message: str, text: str) -> str:
    """Turn the parser's ``what (at line 3, column 5)`` into ``3:5: what``."""
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if found is None:
        return f" {message}"
    what, line, column = found.groups()
    return f"{line or text.count(chr(10)) + 1}:{column or 1}: {what}"


def locate_keys(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of each table header and each key that begins a line.

    The parser does not report positions, so this reads the text once more. It serves messages only: a
    line inside a multi-line string that looks like a key can at worst name a wrong line.
    """
    found: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _header.fullmatch(line):
            table = _key_path(header[1])
            found.setdefault(table, number)
        elif "=" in line and (key := _key_path(line.partition("=")[0])):
            found.setdefault(table + key, number)
    return found


def _key_path(text: str) -> KeyPath:
    """The parts of a dotted key, read by the TOML parser itself; empty if it is none."""
    try:
        table: object = parse_toml(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    path: list[str] = []
    while isinstance(table, dict) and table:  # it is empty where the line is a comment
        ((part, table),) = table.items()
        path.append(part)
    return tuple(path)

"""A record as people read it: one line of text, or the fields of a table. No I/O."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from trunnion import Json

COLUMNS: Final = (
    "n", "time", "kind", "principal", "role", "source", "chain", "what", "target", "action", "decision", "policy",
    "status", "code", "run", "parent", "session", "args", "reason", "text",
)  # fmt: skip
"""Of the table."""

MOST: Final = 2000
"""Characters of a line that are shown."""

_TEXT: Final = ("error", "detail", "text", "args_head")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "|", "%")
"""What a spreadsheet may take a cell for that begins so: something to compute, or a program to call."""

_epoch = datetime(1970, 1, 1, tzinfo=UTC)


def time_of(record: Mapping[str, Json]) -> str:
    """When a record was made, as ISO 8601 has it, UTC."""
    ts = record.get("ts")
    try:
        return (_epoch + timedelta(microseconds=ts if isinstance(ts, int) else 0)).isoformat(timespec="microseconds")
    except OverflowError:
        return str(ts)


def line_of(record: Mapping[str, Json]) -> str:
    """One line of text that says what a record is about; nothing in it moves a cursor or hides what comes after it."""
    kind = _text(record.get("kind"))
    said = _SAYINGS.get(kind)
    words = said(record) if said is not None else []
    who = _text(record.get("principal"))
    by = [f"by {who}"] if who else []
    by += [f"from {source}"] if (source := _text(record.get("source"))) else []
    return plain(" ".join(word for word in (kind, *words, *by) if word))


def plain(text: str) -> str:
    """The beginning of a text, as one line: what does not show, or changes how others show, is written out."""
    shown = text if len(text) <= MOST else f"{text[:MOST]}…"
    if shown.isprintable():
        return shown
    return "".join(char if char.isprintable() else _escaped(char) for char in shown)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", errors="backslashreplace").decode()


def _intent(record: Mapping[str, Json]) -> list[str]:
    args = _text(record.get("args")) or _text(record.get("args_head"))
    return [_text(record.get("what")), _text(record.get("target")), args]


def _refusal(record: Mapping[str, Json]) -> list[str]:
    return [_text(record.get(name)) for name in ("what", "target", "code")] + [f"({_text(record.get('reason'))})"]


def _outcome(record: Mapping[str, Json]) -> list[str]:
    return [_text(record.get(name)) for name in ("target", "status", "code")]


def _admin(record: Mapping[str, Json]) -> list[str]:
    return [_text(record.get("action")), _text(record.get("detail"))]


def _output(record: Mapping[str, Json]) -> list[str]:
    return [_text(record.get("stream")), _text(record.get("text")).rstrip("\n")]


def _reason(record: Mapping[str, Json]) -> list[str]:
    return [_text(record.get(name)) for name in ("count", "total", "size", "segment", "reason")]


_SAYINGS: Final = {
    "intent": _intent, "refusal": _refusal, "outcome": _outcome, "admin": _admin, "output": _output,
    "refusals": _reason, "lost": _reason, "missing": _reason, "cut": _reason, "key": _reason, "checkpoint": _reason,
}  # fmt: skip


def row_of(record: Mapping[str, Json]) -> list[str]:
    """The cells of a record."""
    chain = record.get("chain")
    told = {
        "time": time_of(record),
        "chain": " ".join(map(_text, chain)) if isinstance(chain, list) else "",
        "text": next((text for name in _TEXT if (text := _text(record.get(name)))), ""),
    }
    return [told[name] if name in told else _text(record.get(name)) for name in COLUMNS]


def csv_line(cells: Sequence[str]) -> bytes:
    """One line of CSV (RFC 4180): every cell in quotes, none that a spreadsheet takes for a formula."""
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow([guarded(cell) for cell in cells])
    return buffer.getvalue().encode(errors="replace")


def guarded(cell: str) -> str:
    """A cell that is text whatever it begins with."""
    cell = cell.replace("\0", "")
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) else cell


def _text(value: Json) -> str:
    return "" if value is None else value if isinstance(value, str) else str(value)

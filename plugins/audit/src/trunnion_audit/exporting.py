"""Export: what fits, oldest first, as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal, TypeAlias

import msgspec

from trunnion import Json
from trunnion_audit.reading import LogReader
from trunnion_audit.telling import COLUMNS, csv_line, row_of
from trunnion_audit.wanted import Wanted

Format: TypeAlias = Literal["jsonl", "csv"]

MEDIA_TYPES: Final[dict[Format, str]] = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}
PIECE: Final = 64 << 10
"""Bytes that are written at once, about."""

LOOK: Final = 1000
"""Lines between two looks whether somebody wants it to end."""

_decode = msgspec.json.Decoder(dict[str, Json]).decode


class Export:
    """What fits, in pieces; what came of it is known when they are all taken.

    Args:
        reader: of the log.
        wanted: what fits.
        form: ``jsonl`` has the exact lines of the log, ``csv`` what people read of them.
        end: the number of the last record that counts.
        check: raises when it is to end; called from time to time.

    Attributes:
        records: how many fitted so far.
        unreadable: lines that are no records.
    """

    def __init__(self, reader: LogReader, wanted: Wanted, form: Format, end: int, check: Callable[[], None]) -> None:
        self.records = self.unreadable = 0
        self._reader = reader
        self._wanted = wanted
        self._form = form
        self._end = end
        self._check = check

    def pieces(self) -> Iterator[bytes]:
        """The file."""
        waiting, size = list[bytes](), 0
        for line in self._lines():
            waiting.append(line)
            size += len(line)
            if size >= PIECE:
                yield b"".join(waiting)
                waiting, size = [], 0
        yield b"".join(waiting)

    def _lines(self) -> Iterator[bytes]:
        if self._form == "csv":
            yield csv_line(COLUMNS)
        for count, line in enumerate(self._reader.forth(0)):
            if count % LOOK == 0:
                self._check()
            try:
                record = _decode(line)
            except msgspec.DecodeError:
                self.unreadable += 1
                continue
            n = record.get("n")
            if isinstance(n, int) and n > self._end:
                return
            if self._wanted.fits(record):
                self.records += 1
                yield csv_line(row_of(record)) if self._form == "csv" else line + b"\n"

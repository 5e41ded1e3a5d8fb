"""Search: records that fit, newest first, a page at a time, each page at a bounded cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from trunnion import InvalidArguments, Json
from trunnion_audit.files import SegmentFile
from trunnion_audit.reading import LogReader, first_of, size_of
from trunnion_audit.wanted import Wanted

MOST_READ: Final = 16 << 20
"""Bytes of lines that one page looks at."""

MOST_TIMED: Final = 128 << 20
"""Bytes of segments that one page goes through to learn of which time they are; that is kept for the next."""

MOST_SHOWN: Final = 1 << 20
"""Bytes of lines that one page shows, but for its last one."""

_decode = msgspec.json.Decoder(dict[str, Json]).decode


class Page(msgspec.Struct):
    """Records that fit.

    Attributes:
        items: newest first.
        next: the cursor to go on with; None when there is nothing older. A page may have few items or none and be
            followed by others: it ends when it has read enough.
        unreadable: lines that are no records, or not in their place; what is wrong with them the verifier says.
    """

    items: list[dict[str, Json]]
    next: str | None = None
    unreadable: int = 0


class Bounds(msgspec.Struct, frozen=True):
    """What a page may cost at most, in bytes."""

    read: int = MOST_READ
    timed: int = MOST_TIMED
    shown: int = MOST_SHOWN


class _Search:
    """One page in the making."""

    def __init__(self, reader: LogReader, wanted: Wanted, limit: int, bounds: Bounds) -> None:
        self._reader = reader
        self._wanted = wanted
        self._limit = limit
        self._bounds = bounds
        self._read = self._timed = self._shown = 0
        self.page = Page([])

    def is_done(self) -> bool:
        """Whether the page ends here."""
        bounds = self._bounds
        return (
            len(self.page.items) >= self._limit
            or self._shown >= bounds.shown
            or self._read >= bounds.read
            or self._timed >= bounds.timed
        )

    def go_through(self, segment: SegmentFile, before: int) -> int:
        """Look at a segment's records with smaller numbers, as far as the page goes; the number of the last one."""
        for line in self._reader.back(segment, before):
            record = _record_of(line)
            number = record.get("n")
            if not isinstance(number, int) or number >= before:
                self.page.unreadable += 1  # it costs nothing: a page that ended here would go on here for ever
                continue
            before = number
            self._read += len(line) + 1
            if self._wanted.fits(record):
                self.page.items.append(record)
                self._shown += len(line)
            if self.is_done():
                break
        return before

    def can_skip(self, segment: SegmentFile) -> bool:
        """Whether a segment that grows no more is of another time as a whole."""
        times = self._reader.known_times(segment)
        if times is None:
            self._timed += size_of(segment)
            times = self._reader.times(segment)
        return not self._wanted.may_be_in(times.first, times.last)


def search(reader: LogReader, wanted: Wanted, limit: int, before: int, bounds: Bounds | None = None) -> Page:
    """One page of what fits.

    Args:
        reader: of the log.
        wanted: what fits.
        limit: at most so many records.
        before: only records with smaller numbers.
        bounds: of its cost.
    """
    found, made = reader.segments(), _Search(reader, wanted, limit, bounds or Bounds())
    for place in range(len(found) - 1, -1, -1):
        segment, first = found[place], first_of(found[place])
        if first is not None and first >= before:
            continue
        is_closed = place < len(found) - 1
        if is_closed and wanted.is_of_a_time and made.can_skip(segment):
            before = before if first is None else first
        else:
            before = made.go_through(segment, before)
        if made.is_done() and not _is_first(found, before):
            made.page.next = str(before)
            break
    return made.page


def _record_of(line: bytes) -> dict[str, Json]:
    """A record; an empty one where the line is none."""
    try:
        return _decode(line)
    except msgspec.DecodeError:
        return {}


def _is_first(found: Sequence[SegmentFile], number: int) -> bool:
    """Whether a record is the oldest there is."""
    first = first_of(found[0])
    return first is not None and number <= first


def place_of(cursor: str | None, end: int) -> int:
    """The number a cursor stands for; without one, the one after the end.

    Raises:
        InvalidArguments: it is no cursor of a search.
    """
    if cursor is None:
        return end
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 16):
        raise InvalidArguments(f"cursor {cursor[:80]!r} is not one that audit.search gave", {"argument": "cursor"})
    return min(int(cursor), end)

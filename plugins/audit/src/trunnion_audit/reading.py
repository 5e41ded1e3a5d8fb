"""Reading the log while it is written: from either end, from any record on, and never a segment at once.

Numbers ascend through the log, so a record is found by halving. What stands in a damaged log is read as far as it can
be; whether a log is whole is for the verifier to say.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from trunnion_audit.files import SegmentFile, segments
from trunnion_audit.records import LARGEST_LINE

BLOCK: Final = 256 << 10
"""Bytes read at once."""

_ts = re.compile(rb'[{,]"ts":(\d{1,16})[,}]')


class _Numbered(msgspec.Struct):
    n: int


_numbered = msgspec.json.Decoder(_Numbered).decode


class Times(NamedTuple):
    """The earliest and the latest time in a segment, UTC microseconds."""

    first: int
    last: int


class LogReader:
    """Reads a log, in any thread. What is removed meanwhile is taken for gone.

    Args:
        folder: where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._times: dict[int, tuple[tuple[int, int], Times]] = {}

    def segments(self) -> list[SegmentFile]:
        """The segments there are; none where there is no log."""
        try:
            return segments(self._folder)
        except FileNotFoundError:
            return []

    def forth(self, after: int) -> Iterator[bytes]:
        """The lines of the records after one, without LF, oldest first, to the end there is now."""
        found = self.segments()
        begin = _holding(found, after + 1)
        for segment in found[begin:]:
            with _opened(segment) as file:
                if file is not None:
                    file.seek(_offset_of(file, after + 1) if after and segment is found[begin] else 0)
                    yield from _whole_lines(file)

    def back(self, segment: SegmentFile, before: int) -> Iterator[bytes]:
        """The lines of a segment's records with smaller numbers, without LF, newest first."""
        with _opened(segment) as file:
            if file is not None:
                yield from _lines_back(file, _offset_of(file, before))

    def known_times(self, segment: SegmentFile) -> Times | None:
        """The times of a segment that were looked for before and still hold."""
        known = self._times.get(segment.number)
        return known[1] if known is not None and known[0] == _mark(segment) else None

    def times(self, segment: SegmentFile) -> Times:
        """The times of a segment, for which all of it is gone through, block by block."""
        mark, first, last = _mark(segment), 1 << 62, -1
        with _opened(segment) as file:
            for line in _whole_lines(file) if file is not None else ():
                found = [int(text) for text in _ts.findall(line)]
                first, last = min([first, *found]), max([last, *found])
        self._times[segment.number] = mark, Times(first, last)
        return Times(first, last)


def number_of(line: bytes) -> int | None:
    """The number of a record; None where the line is none."""
    try:
        return _numbered(line).n
    except msgspec.DecodeError:
        return None


def first_of(segment: SegmentFile) -> int | None:
    """The number of a segment's first record; None where it has none that can be read."""
    with _opened(segment) as file:
        return None if file is None else number_of(file.readline(LARGEST_LINE))


def size_of(segment: SegmentFile) -> int:
    """Bytes of a segment; 0 where it is gone."""
    return _mark(segment)[0]


def _mark(segment: SegmentFile) -> tuple[int, int]:
    try:
        found = segment.path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


@contextmanager
def _opened(segment: SegmentFile) -> Iterator[BinaryIO | None]:
    try:
        file = segment.path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        yield file


def _holding(found: Sequence[SegmentFile], n: int) -> int:
    """The place of the segment a record is in: the last one that begins with it or before it; the first if none is."""
    low, high = 0, len(found)
    while high - low > 1:
        middle = (low + high) // 2
        first = first_of(found[middle])
        low, high = (low, middle) if first is not None and first > n else (middle, high)
    return low


def _offset_of(file: BinaryIO, n: int) -> int:
    """Where the first record begins that has this number or a larger one; the end of the file where none has."""
    low, high = 0, os.fstat(file.fileno()).st_size
    while low < high:
        middle = (low + high) // 2
        start, number, end = _line_at(file, middle)
        if start >= high or number is None or number >= n:
            high = middle  # whatever begins behind the middle is not before it
        else:
            low = end
    return _line_at(file, low)[0]


def _line_at(file: BinaryIO, offset: int) -> tuple[int, int | None, int]:
    """The first readable record that begins at an offset or behind it: its beginning, number and end."""
    if offset:
        file.seek(offset - 1)
        offset += len(file.readline(LARGEST_LINE)) - 1
    else:
        file.seek(0)
    while line := file.readline(LARGEST_LINE):
        number = number_of(line) if line.endswith(b"\n") else None
        if number is not None:
            return offset, number, offset + len(line)
        offset += len(line)
    return offset, None, offset


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines from here on but for one that has no end yet; one that is too long comes in pieces."""
    while (line := file.readline(LARGEST_LINE)).endswith(b"\n") or len(line) == LARGEST_LINE:
        yield line.removesuffix(b"\n")


def _lines_back(file: BinaryIO, end: int) -> Iterator[bytes]:
    """The lines before an offset, last first; what comes after their last LF is none yet."""
    rest, is_last = b"", True
    while end > 0:
        start = max(0, end - BLOCK)
        file.seek(start)
        head, *lines = (file.read(end - start) + rest).split(b"\n")
        if lines:
            if is_last:
                lines.pop()
                is_last = False
            yield from reversed(lines)
        rest, end = head[:LARGEST_LINE], start
    if not is_last:
        yield rest

"""The archive as bytes: gzip around tar, written in one form and read in no other.

Written here rather than with ``tarfile`` as a whole, because what reads must refuse everything it does not
expect: links, devices, other kinds of members, headers without end, anything behind the end. The headers
are those of POSIX.1-2001 (pax); the frame is that of RFC 1952 with no name and no time. A second, empty member of the
frame ends the file: its comment has the digest of every byte before it, so that no other file passes for this one.
"""

from __future__ import annotations

import hashlib
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from trunnion.store.backup.manifest import MOST_NAME, Damaged

PIECE = 256 << 10
BLOCK = 512
HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
TRAILER = struct.Struct("<II")
MOST_PAX = 16 << 10
_END = bytes(2 * BLOCK)
_SEAL_HEADER = b"\x1f\x8b\x08\x10\x00\x00\x00\x00\x00\xff"
_EMPTY = b"\x03\x00" + bytes(TRAILER.size)


def _seal(sha256: str) -> bytes:
    """The second member: its header with a comment, and no content."""
    return _SEAL_HEADER + f"sha256 {sha256}".encode("ascii") + b"\0" + _EMPTY


class Member(NamedTuple):
    """What the archive says of a member before its content."""

    name: str
    size: int
    mode: int
    mtime: int
    is_folder: bool = False


class Packer:
    """Writes an archive to an open file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._crc = 0
        self._size = 0
        self._digest = hashlib.sha256()
        self._put(HEADER)

    def add(self, member: Member, pieces: Iterable[bytes] = ()) -> str:
        """Add a file, or a folder; the digest of what was written.

        Args:
            member: what it is.
            pieces: its content, exactly ``member.size`` bytes.
        """
        head = tarfile.TarInfo(member.name)
        head.size, head.mode, head.mtime = member.size, member.mode, member.mtime
        head.type = tarfile.DIRTYPE if member.is_folder else tarfile.REGTYPE
        self._write(head.tobuf(tarfile.PAX_FORMAT))
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
            self._write(piece)
        self._write(bytes(-member.size % BLOCK))
        return digest.hexdigest()

    def close(self) -> None:
        """Write the end; the file stays open."""
        self._write(_END)
        self._put(self._deflate.flush())
        self._put(TRAILER.pack(self._crc, self._size & 0xFFFFFFFF))
        self._file.write(_seal(self._digest.hexdigest()))

    def _write(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._put(self._deflate.compress(data))

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)


class _Plain:
    """The bytes inside the gzip frame, never more of them in memory than were asked for and a piece."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._buffer = b""
        self._crc = 0
        self._size = 0
        self._digest = hashlib.sha256(HEADER)
        self._newest = b""
        if file.read(len(HEADER)) != HEADER:
            raise Damaged("it is no backup that Trunnion wrote")

    def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        while len(self._buffer) < size:
            if not (piece := self._more()):
                raise Damaged("it ends too early")
            self._buffer += piece
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def finish(self) -> None:
        """The end: nothing more inside, and of the frame nothing but its check."""
        if self._buffer or self._more():
            raise Damaged("something follows its end")
        rest = self._inflate.unused_data
        self._digest.update(self._newest[: len(self._newest) - len(rest)])
        trailer = TRAILER.pack(self._crc, self._size & 0xFFFFFFFF)
        self._digest.update(trailer)
        if rest + self._file.read(BLOCK) != trailer + _seal(self._digest.hexdigest()):
            raise Damaged("it is not what was written: its checksum does not fit")

    def _more(self) -> bytes:
        while not self._inflate.eof:
            data = self._inflate.unconsumed_tail or self._next_piece()
            try:
                piece = self._inflate.decompress(data, PIECE)
            except zlib.error as error:
                raise Damaged(f"it is not what was written: {error}") from None
            if piece:
                self._crc = zlib.crc32(piece, self._crc)
                self._size += len(piece)
                return piece
            if not data:
                break
        return b""

    def _next_piece(self) -> bytes:
        self._digest.update(self._newest)
        self._newest = self._file.read(PIECE)
        return self._newest


class Unpacker:
    """Reads an archive from an open file, member by member.

    Raises:
        Damaged: from every method, if it is not exactly of the form ``Packer`` writes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._plain = _Plain(file)
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        """The members in order. The content of each has to be read before the next is asked for."""
        while (member := self._next()) is not None:
            self._left, self._padding = member.size, -member.size % BLOCK
            yield member
            if self._left:
                raise AssertionError(f"the content of {member.name} was not read")
            if any(self._plain.read(self._padding)):
                raise Damaged(f"{member.name!a} does not end where it should")
        self._plain.finish()

    def pieces(self) -> Iterator[bytes]:
        """The content of the present member."""
        while self._left:
            piece = self._plain.read(min(self._left, PIECE))
            self._left -= len(piece)
            yield piece

    def _next(self) -> Member | None:
        block = self._plain.read(BLOCK)
        if not any(block):
            if any(self._plain.read(BLOCK)):
                raise Damaged("its end is not where it should be")
            return None
        head = _parsed(block)
        more: dict[str, str] = {}
        if head.type == tarfile.XHDTYPE:
            more = self._extended(head.size)
            head = _parsed(self._plain.read(BLOCK))
        return _member(head, more)

    def _extended(self, size: int) -> dict[str, str]:
        if not 0 < size <= MOST_PAX:
            raise Damaged("one of its headers is too long")
        data = self._plain.read(size)
        if any(self._plain.read(-size % BLOCK)):
            raise Damaged("one of its headers does not end where it should")
        return _records(data)


def _parsed(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError, ValueError) as error:
        raise Damaged(f"one of its headers cannot be read: {error}") from None


def _member(head: tarfile.TarInfo, more: dict[str, str]) -> Member:
    name = more.get("path", head.name)
    name = name.removesuffix("/") if head.type == tarfile.DIRTYPE else name
    if head.type not in (tarfile.REGTYPE, tarfile.DIRTYPE) or head.linkname:
        raise Damaged(f"{name[:200]!a} in it is neither a file nor a folder")
    is_folder = head.type == tarfile.DIRTYPE
    size = int(more["size"]) if "size" in more else head.size
    if len(name) > MOST_NAME or size < 0 or (is_folder and size):
        raise Damaged(f"the header of {name[:200]!a} says what cannot be")
    return Member(name, size, head.mode & 0o777, max(0, int(head.mtime)), is_folder)


def _records(data: bytes) -> dict[str, str]:
    """Extended headers: lines of ``<length> <key>=<value>``."""
    found: dict[str, str] = {}
    while data:
        try:
            length, _, _ = data.partition(b" ")
            line, data = data[: int(length)], data[int(length) :]
            key, _, value = line[len(length) + 1 : -1].decode().partition("=")
            is_whole = len(line) == int(length) and line.endswith(b"\n")
            number = int(value) if key == "size" else 0
        except ValueError:
            raise Damaged("one of its headers cannot be read") from None
        if not is_whole or key not in ("path", "size") or key in found or number < 0:
            raise Damaged("one of its headers cannot be read")
        found[key] = value
    return found

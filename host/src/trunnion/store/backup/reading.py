"""Reading a backup to its end: every member is judged, and compared with the list that the backup ends with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from trunnion.model.errors import IncompatibleData, InvalidArguments, Unavailable
from trunnion.store.backup.manifest import (
    DATABASE,
    FIRST,
    FORMAT,
    LAST,
    Damaged,
    Entry,
    Manifest,
    first_content,
    judge_name,
)  # fmt: skip
from trunnion.store.backup.packing import Member, Unpacker
from trunnion.store.connections import NO_SPACE

MOST_MANIFEST = 256 << 20

Sink = Callable[[Member, Iterator[bytes]], None]
"""Takes a member and its content; what it leaves of the content is read past."""


def verify(file: Path) -> Manifest:
    """Read a backup to its end and compare every byte with what it says of itself; writes nothing.

    Raises:
        IncompatibleData: a newer version wrote it.
        InvalidArguments: it is no backup, or not what was written.
        Unavailable: it cannot be read.
    """
    return read(file, lambda _member, _pieces: None)


def read(file: Path, sink: Sink, known: Manifest | None = None) -> Manifest:
    """Read all of it, giving every member to ``sink``; with ``known`` each is compared before the next is read."""
    try:
        with file.open("rb") as source:
            return _Reading(sink, known).read(Unpacker(source))
    except Damaged as error:
        raise InvalidArguments(f"{file} cannot be restored: {error}", {"path": str(file)}) from None
    except OSError as error:
        if error.filename not in (None, str(file)) or error.errno in NO_SPACE:
            raise
        raise Unavailable(f"{file} cannot be read: {error.strerror}", {"path": str(file)}) from error


class _Reading:
    def __init__(self, sink: Sink, known: Manifest | None) -> None:
        self._sink = sink
        self._known = {(entry.name, entry.size) for entry in known.files} if known is not None else None
        self._files: dict[str, Entry] = {}
        self._folders: dict[str, None] = {}

    def read(self, archive: Unpacker) -> Manifest:
        """All members; the manifest, which they fit."""
        members = iter(archive)
        _judge_first(archive, next(members, None))
        manifest: Manifest | None = None
        for member in members:
            if manifest is not None:
                raise Damaged("something follows its list of files")
            if member.name == LAST:
                manifest = _manifest(archive, member)
            else:
                self._take(archive, member)
        if manifest is None:
            raise Damaged("its list of files is missing")
        self._compare(manifest)
        return manifest

    def _take(self, archive: Unpacker, member: Member) -> None:
        judge_name(member.name, is_folder=member.is_folder)
        if member.name in self._files or member.name in self._folders:
            raise Damaged(f"{member.name!a} is in it twice")
        if member.is_folder:
            self._folders[member.name] = None
            self._sink(member, iter(()))
            return
        if self._known is not None and (member.name, member.size) not in self._known:
            raise Damaged("it changed while it was read")
        digest = hashlib.sha256()
        self._sink(member, _through(archive.pieces(), digest.update))
        for piece in archive.pieces():
            digest.update(piece)
        self._files[member.name] = Entry(member.name, member.size, digest.hexdigest(), member.mode)

    def _compare(self, manifest: Manifest) -> None:
        """What was read is what is on the list, neither more nor less."""
        listed = {entry.name: entry for entry in manifest.files}
        if len(listed) != len(manifest.files) or set(manifest.folders) != self._folders.keys():
            raise Damaged("its list of files does not fit what is in it")
        for name in listed.keys() ^ self._files.keys():
            raise Damaged(f"{name!a} is {'missing from it' if name in listed else 'in it and not on its list'}")
        for name, entry in listed.items():
            if entry != self._files[name]:
                raise Damaged(f"{name!a} is not what was written: its size or digest does not fit")
        if DATABASE not in listed:
            raise Damaged("it has no database")


def _judge_first(archive: Unpacker, member: Member | None) -> None:
    if member is None or member.name != FIRST or member.size > 64:
        raise Damaged("it is no backup that Trunnion wrote")
    content = b"".join(archive.pieces())
    if content == first_content():
        return
    name, _, form = content.strip().partition(b" ")
    if name == b"trunnion-backup" and form.isdigit() and len(form) < 9:
        raise IncompatibleData(
            f"the backup has form {int(form)}, this Trunnion reads form {FORMAT}: restore it with the version it is of",
            {"format": int(form), "known": FORMAT},
        )
    raise Damaged("it is no backup that Trunnion wrote")


def _manifest(archive: Unpacker, member: Member) -> Manifest:
    if member.size > MOST_MANIFEST or member.is_folder:
        raise Damaged("its list of files is too long")
    try:
        manifest = msgspec.json.decode(b"".join(archive.pieces()), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"its list of files cannot be read: {error}") from None
    if manifest.format != FORMAT:
        raise Damaged("its list of files is of another form than itself")
    return manifest


def _through(pieces: Iterator[bytes], tell: Callable[[bytes], None]) -> Iterator[bytes]:
    for piece in pieces:
        tell(piece)
        yield piece

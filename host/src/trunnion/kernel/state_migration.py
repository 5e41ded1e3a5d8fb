"""Bringing a plugin's documents from one version to the next, step by step, each a commit of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import msgspec

from trunnion.kernel.document_value import checked_key, encoded
from trunnion.kernel.documents import VERSION_KEY, OwnDocuments
from trunnion.kernel.threads import in_thread
from trunnion.model.errors import Conflict, IncompatibleData, Unavailable
from trunnion.model.json import Json, decode, encode
from trunnion.store.base import DocumentWrite
from trunnion.store.files import sync_file

PAGE = 64


class MigrationView:
    """The documents of one owner as a step sees and changes them. In the step's thread."""

    def __init__(self, own: OwnDocuments) -> None:
        self._own = own
        self.values: dict[str, bytes | None] = {}

    def items(self, prefix: str = "") -> Iterator[tuple[str, Json]]:
        """Keys that begin with ``prefix`` and their values, in order of key, as they were before this step."""
        for write in stored(self._own, prefix):
            yield write.key, decode(write.value or b"null")

    def get(self, key: str) -> Json:
        """The value of a document as this step left it; None if there is none."""
        if checked_key(key) not in self.values:
            found = self._own.committed(key)
            return decode(found.value) if found is not None and found.value is not None else None
        value = self.values[key]
        return decode(value) if value is not None else None

    def put(self, key: str, value: Json) -> None:
        """Set a document.

        Raises:
            InvalidArguments: the key or the value cannot be kept.
        """
        self.values[key] = encoded(checked_key(key), value, self._own.shared.limits.max_document_bytes)[0]

    def delete(self, key: str) -> None:
        """Remove a document, if there is one."""
        self.values[checked_key(key)] = None


StateMigration: TypeAlias = Callable[[MigrationView], None]
"""One step. Called again from the start of the step when the host was killed in it."""


async def migrate(own: OwnDocuments, steps: Sequence[StateMigration]) -> None:
    """See ``State.migrate``."""
    version = version_of(own)
    if version > len(steps):
        raise IncompatibleData(
            f"the documents of {own.owner} have version {version}, this {own.owner} knows up to {len(steps)}; nothing"
            " was changed. Use the newer version of it, or restore a backup made before the upgrade",
            {"owner": own.owner, "version": version, "newest": len(steps)},
        )
    if version == len(steps):
        return
    await own.ready()
    if own.shared.backups is not None:
        target = own.shared.backups / f"{own.owner}.state-v{version}.bak.jsonl"
        await in_thread(own.shared.readers, partial(_keep_backup, own, target))
    for number, step in enumerate(steps[version:], version + 1):
        await _step(own, step, number)


def version_of(own: OwnDocuments) -> int:
    """How many steps the documents have seen."""
    found = own.committed(VERSION_KEY)
    return msgspec.json.decode(found.value, type=int) if found is not None and found.value is not None else 0


async def _step(own: OwnDocuments, step: StateMigration, number: int) -> None:
    await own.ready()
    before = own.revision
    view = MigrationView(own)
    await in_thread(own.shared.readers, partial(step, view))
    await own.ready()
    if own.revision != before:
        raise Conflict(
            f"documents of {own.owner} were changed while they were brought to version {number}: migrate before they"
            " are used",
            {"owner": own.owner, "version": number},
        )
    values = {key: value for key, value in view.values.items() if value is not None or own.newest(key) is not None}
    await own.change(values, version=number)


def stored(own: OwnDocuments, prefix: str = "") -> Iterator[DocumentWrite]:
    """All documents on record whose keys begin with ``prefix``, in order of key."""
    after = VERSION_KEY
    while page := own.shared.store.documents(own.owner, prefix, after, PAGE):
        yield from page
        after = page[-1].key


def _keep_backup(own: OwnDocuments, target: Path) -> None:
    """Copy the documents, if there are any; the copy gets its name only when it is whole and on the disk."""
    documents = stored(own)
    first = next(documents, None)
    if first is None:
        return
    partial_copy = target.with_name(target.name + ".partial")
    try:
        partial_copy.unlink(missing_ok=True)
        with os.fdopen(os.open(partial_copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as out:
            out.write(_line(first))
            out.writelines(map(_line, documents))
        sync_file(partial_copy)
        partial_copy.replace(target)
        sync_file(target.parent)
    except OSError as error:
        partial_copy.unlink(missing_ok=True)
        raise Unavailable(
            f"the documents of {own.owner} were not migrated: their backup {target} cannot be written:"
            f" {error.strerror}",
            {"path": str(target)},
        ) from error


def _line(write: DocumentWrite) -> bytes:
    value = msgspec.Raw(write.value or b"null")
    return encode({"key": write.key, "revision": write.revision, "updated": write.updated, "value": value}) + b"\n"

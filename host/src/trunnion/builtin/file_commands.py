"""``artifacts.*`` and ``uploads.*``: what is known of files. Their bytes never pass through here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from trunnion.access.policy import is_local
from trunnion.kernel.context import Context
from trunnion.kernel.core import Kernel
from trunnion.kernel.door import Door
from trunnion.kernel.file_ranges import PIECE
from trunnion.kernel.threads import in_thread
from trunnion.model.commands import Command, Query
from trunnion.model.errors import Forbidden, InvalidArguments
from trunnion.model.json import Json, decode, encode
from trunnion.model.runs import ArtifactInfo, Caller
from trunnion.model.uploads import UploadInfo

REMOTE = frozenset({"web", "rpc"})


class FileCommands:
    """Tells of kept files and uploads; takes an upload from a path of this machine."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def commands(self) -> list[Command]:
        """All commands."""
        return [
            Command.of(self.add, console="uploads", title="Copy a file of this machine to an upload", lock=None),
            Command.of(
                self.drop, console="uploads", title="Remove an upload", lock=None, effect="destroy", expose=REMOTE
            ),
        ]

    def queries(self) -> list[Query]:
        """All queries."""
        return [
            Query.of(self.get, console="artifacts", title="What is known of a kept file", expose=REMOTE),
            Query.of(self.verify, console="artifacts", title="Whether a kept file is as it was", timeout=3600.0),
            Query.of(self.path, console="artifacts", title="Where a kept file lies, for local callers"),
            Query.of(self.uploads, console="uploads", name="list", title="Uploads, oldest first", expose=REMOTE),
            Query.of(self.upload, console="uploads", name="get", title="An upload as it is now", expose=REMOTE),
        ]

    # -- files kept with runs ---------------------------------------------------------------------

    async def get(self, caller: Caller, artifact_id: str) -> Json:
        """What is known of a file kept with a run.

        Args:
            artifact_id: as ``runs.artifacts`` lists it.
        """
        return _shown(await Door(self._kernel, caller.source).artifact(caller, artifact_id))

    async def verify(self, caller: Caller, artifact_id: str) -> dict[str, Json]:
        """Read a kept file and compare it with its size and digest on record.

        Args:
            artifact_id: as ``runs.artifacts`` lists it.
        """
        info, size, sha256 = await self._kernel.files.artifacts.digest(caller, artifact_id)
        return {"id": info.id, "ok": (size, sha256) == (info.size, info.sha256), "size": size, "sha256": sha256}

    async def path(self, caller: Caller, artifact_id: str) -> dict[str, Json]:
        """Where a kept file lies, for programs of the host's own user: so its bytes need no door.

        Args:
            artifact_id: as ``runs.artifacts`` lists it.
        """
        if not all(is_local(source) for source in (*caller.chain, caller.source)):
            raise Forbidden("paths on the host are told to local callers only: read the file as ranges of bytes")
        find = partial(self._kernel.files.artifacts.located, caller, artifact_id)
        info, path = await in_thread(self._kernel.readers, find)
        return {"id": info.id, "name": info.name, "path": str(path), "size": info.size, "sha256": info.sha256}

    # -- uploads ----------------------------------------------------------------------------------

    async def add(self, ctx: Context, file: Path, *, media_type: str = "application/octet-stream") -> Json:
        """Copy a file of the host's own machine to an upload; its handle is then a file argument anywhere.

        Args:
            file: the file.
            media_type: what it is; never used to decide how to run it.
        """
        door, caller, in_reader = Door(self._kernel, ctx.caller.source), ctx.caller, self._kernel.readers
        with await in_thread(in_reader, partial(_opened, file)) as source:
            size = os.fstat(source.fileno()).st_size
            info = await door.open_upload(caller, file.name, size=size, media_type=media_type)
            try:
                while piece := await in_thread(in_reader, partial(_read, source)):
                    info = await door.write_upload(caller, info.id, info.offset, piece)
                    ctx.progress(info.offset)
                return _upload_shown(await door.finish_upload(caller, info.id))
            except BaseException:
                await door.drop_upload(caller, info.id)
                raise

    async def drop(self, ctx: Context, upload_id: str) -> dict[str, Json]:
        """Remove an upload; runs that named it and have not begun will find it gone.

        Args:
            upload_id: the upload.
        """
        await Door(self._kernel, ctx.caller.source).drop_upload(ctx.caller, upload_id)
        return {"dropped": upload_id}

    async def uploads(self, caller: Caller) -> dict[str, Json]:
        """The caller's uploads; an admin's are everybody's."""
        found: Sequence[UploadInfo] = self._kernel.files.uploads.of(caller)
        return {"items": [_upload_shown(info) for info in found], "next": None}

    async def upload(self, caller: Caller, upload_id: str) -> Json:
        """An upload as it is now; ``offset`` says where it goes on.

        Args:
            upload_id: the upload.
        """
        return _upload_shown(await Door(self._kernel, caller.source).upload(caller, upload_id))


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise InvalidArguments(f"{file} cannot be read: {error.strerror}") from error


def _read(source: BinaryIO) -> bytes:
    return source.read(4 * PIECE)


def _shown(info: ArtifactInfo) -> Json:
    return decode(encode(info))


def _upload_shown(info: UploadInfo) -> dict[str, Json]:
    fields = decode(encode(info))
    return {**(fields if isinstance(fields, dict) else {}), "offset": info.offset, "handle": info.handle}

"""A client's side of bytes: content that is read in pieces, and files that are brought."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path

from trunnion import TrunnionError, Unavailable
from trunnion.model.runs import ArtifactInfo
from trunnion.model.uploads import UploadInfo
from trunnion_rpc.answers import senseless
from trunnion_rpc.decoding import upload_of
from trunnion_rpc.line import LARGEST, Line
from trunnion_rpc.patience import Patience
from trunnion_rpc.v1 import runtime_pb2 as pb

PIECE = 256 << 10
LAST_WORD = 2.0
"""Seconds to have the beginning of a file removed that is not brought to its end."""

ANY_TYPE = "application/octet-stream"


async def read_content(line: Line, request: pb.ReadContentRequest, patience: float) -> AsyncGenerator[bytes, None]:
    """Yield content in pieces; after a lost line it goes on at the same byte of the same content.

    Raises:
        RemoteError: it is not there, may not be read, is another one by now, or is not what the host said it is.
        Unavailable: the host could not be reached.
    """
    wanted, trying = pb.ReadContentRequest(), Patience(patience)
    wanted.CopyFrom(request)
    while True:
        try:
            async with aclosing(line.listen("ReadContent", wanted, pb.ReadContentResponse)) as answers:
                info = await _info(answers)
                trying.rewarded()
                wanted.sha256, left = info.sha256, _left(wanted, info)
                async for answer in answers:
                    trying.rewarded()
                    left -= len(answer.chunk)
                    if left < 0:
                        raise senseless(f"more of {info.name!a} than its {info.size} bytes, or than was asked for")
                    wanted.offset += len(answer.chunk)
                    if wanted.HasField("length"):
                        wanted.length -= len(answer.chunk)
                    yield answer.chunk
            if left:
                raise senseless(f"{info.name!a} without its last {left} bytes")
            return
        except Unavailable as error:
            await trying.wait(error)


async def _info(answers: AsyncGenerator[pb.ReadContentResponse, None]) -> pb.ContentInfo:
    """What the content is, which is said first."""
    first = await anext(answers, None)
    if first is None or first.WhichOneof("part") != "info":
        raise senseless("content without saying what it is")
    return first.info


def _left(wanted: pb.ReadContentRequest, info: pb.ContentInfo) -> int:
    """How many bytes are to come."""
    rest = max(0, info.size - wanted.offset)
    return min(rest, wanted.length) if wanted.HasField("length") else rest


async def read_whole(line: Line, request: pb.ReadContentRequest, patience: float) -> bytes:
    """All of some content, which is kept in memory.

    Raises:
        RemoteError: as for ``read_content``, or there is more of it than there is any sense in.
    """
    got: list[bytes] = []
    size = 0
    async with aclosing(read_content(line, request, patience)) as pieces:
        async for piece in pieces:
            size += len(piece)
            if size > LARGEST:
                raise senseless(f"a document of more than {LARGEST >> 20} MiB")
            got.append(piece)
    return b"".join(got)


class Files:
    """Artifacts and uploads of a host.

    Args:
        line: to it.
        patience: seconds a host that cannot be reached is tried again.
    """

    def __init__(self, line: Line, patience: float) -> None:
        self._line = line
        self._patience = patience

    # -- reading ----------------------------------------------------------------------------------------

    async def info(self, artifact_id: str) -> ArtifactInfo:
        """What is known of a file kept with a run."""
        request = pb.ReadContentRequest(artifact_id=artifact_id, length=0)
        async with aclosing(self._line.listen("ReadContent", request, pb.ReadContentResponse)) as answers:
            info = await _info(answers)
        return ArtifactInfo(artifact_id, "", info.name, info.size, info.sha256, info.media_type)

    def read(self, artifact_id: str, offset: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield a range of a file kept with a run, in pieces; a lost line is taken up again where it broke.

        Raises:
            RemoteError: there is none, or its run may not be seen.
            Unavailable: the host could not be reached.
        """
        request = pb.ReadContentRequest(artifact_id=artifact_id, offset=offset, length=length)
        return read_content(self._line, request, self._patience)

    # -- bringing ---------------------------------------------------------------------------------------

    async def upload(self, source: Path | bytes, *, name: str = "", media_type: str = ANY_TYPE) -> UploadInfo:
        """Bring a file; its ``handle`` is then a file argument. A lost line is taken up again where it broke.

        Args:
            source: a file, or its content.
            name: shown to people; a file's own where it is empty.
            media_type: what it is.

        Raises:
            RemoteError: the host refused; nothing of the file stays there.
            Unavailable: it could not be reached.
            OSError: the file cannot be read.
        """
        size, sha256 = await asyncio.to_thread(_measured, source)
        name = name or (source.name if isinstance(source, Path) else "upload")
        request = pb.OpenUploadRequest(name=name, size=size, media_type=media_type)
        upload = (await self._line.ask("OpenUpload", request, pb.OpenUploadResponse)).upload
        try:
            await self._bring(upload.id, source)
            request_end = pb.FinishUploadRequest(upload_id=upload.id, sha256=sha256)
            return upload_of((await self._line.ask("FinishUpload", request_end, pb.FinishUploadResponse)).upload)
        except BaseException as error:
            if not isinstance(error, Unavailable):  # nobody waits for it any more, or nobody wants it
                with suppress(TrunnionError):  # what arrived with another digest is gone already
                    await self._dropped(upload.id, LAST_WORD)
            raise

    async def _bring(self, upload_id: str, source: Path | bytes) -> None:
        trying, offset = Patience(self._patience), 0
        while True:
            try:
                if trying.tried:
                    offset = (await self.uploaded(upload_id)).offset
                await self._line.bring("WriteUpload", _pieces(upload_id, source, offset), pb.WriteUploadResponse)
                return
            except Unavailable as error:
                await trying.wait(error)

    async def uploaded(self, upload_id: str) -> UploadInfo:
        """An upload as it is now."""
        request = pb.GetUploadRequest(upload_id=upload_id)
        return upload_of((await self._line.ask("GetUpload", request, pb.GetUploadResponse)).upload)

    async def drop(self, upload_id: str) -> None:
        """Remove an upload."""
        await self._dropped(upload_id)

    async def _dropped(self, upload_id: str, timeout: float | None = None) -> None:
        request = pb.DropUploadRequest(upload_id=upload_id)
        await self._line.ask("DropUpload", request, pb.DropUploadResponse, timeout)


def _measured(source: Path | bytes) -> tuple[int, str]:
    if isinstance(source, bytes):
        return len(source), hashlib.sha256(source).hexdigest()
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


async def _pieces(upload_id: str, source: Path | bytes, offset: int) -> AsyncIterator[pb.WriteUploadRequest]:
    """The rest of a file as messages; the first names where it goes on."""
    first = pb.WriteUploadRequest(upload_id=upload_id, offset=offset)
    if isinstance(source, bytes):
        yield first
        for begin in range(offset, len(source), PIECE):
            yield pb.WriteUploadRequest(chunk=source[begin : begin + PIECE])
        return
    with await asyncio.to_thread(source.open, "rb") as file:
        file.seek(offset)
        yield first
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield pb.WriteUploadRequest(chunk=piece)

"""The methods by which files are brought."""

from __future__ import annotations

from collections.abc import AsyncIterator

from trunnion import InvalidArguments
from trunnion_rpc.call import Call
from trunnion_rpc.encoding import upload_message
from trunnion_rpc.v1 import runtime_pb2 as pb

ANY_TYPE = "application/octet-stream"


async def open_upload(call: Call, request: pb.OpenUploadRequest) -> pb.OpenUploadResponse:
    """See the protocol, as for all others here."""
    info = await call.door.open_upload(
        call.caller,
        request.name,
        size=request.size if request.HasField("size") else None,
        media_type=request.media_type or ANY_TYPE,
    )
    return pb.OpenUploadResponse(upload=upload_message(info))


async def write_upload(call: Call, requests: AsyncIterator[pb.WriteUploadRequest]) -> pb.WriteUploadResponse:
    """Each piece is on disk before the next one is taken, so what has arrived counts, however the call ends."""
    info, upload_id, offset = None, "", 0
    async for request in requests:
        if info is None:
            upload_id, offset = request.upload_id, request.offset
        elif request.upload_id not in ("", upload_id):
            raise InvalidArguments("one call brings one upload: the first message names it")
        info = await call.door.write_upload(call.caller, upload_id, offset, request.chunk)
        offset = info.offset
    if info is None:
        raise InvalidArguments("name the upload in the first message")
    return pb.WriteUploadResponse(upload=upload_message(info))


async def get_upload(call: Call, request: pb.GetUploadRequest) -> pb.GetUploadResponse:
    """As it is now."""
    return pb.GetUploadResponse(upload=upload_message(await call.door.upload(call.caller, request.upload_id)))


async def finish_upload(call: Call, request: pb.FinishUploadRequest) -> pb.FinishUploadResponse:
    """All of it has come."""
    info = await call.door.finish_upload(call.caller, request.upload_id, request.sha256 or None)
    return pb.FinishUploadResponse(upload=upload_message(info))


async def drop_upload(call: Call, request: pb.DropUploadRequest) -> pb.DropUploadResponse:
    """It is gone."""
    await call.door.drop_upload(call.caller, request.upload_id)
    return pb.DropUploadResponse()

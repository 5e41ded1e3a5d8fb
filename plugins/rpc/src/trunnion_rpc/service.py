"""The service: each method of the protocol, and what performs it."""

from __future__ import annotations

from collections.abc import Mapping

from trunnion_rpc import calls, files, streams
from trunnion_rpc.guard import Method, downward, unary, upward
from trunnion_rpc.v1 import runtime_pb2 as pb

SERVICE = "trunnion.v1.RuntimeService"

METHODS: Mapping[str, Method] = {
    "GetHost": unary(pb.GetHostRequest, calls.get_host),
    "Invoke": unary(pb.InvokeRequest, calls.invoke),
    "Query": unary(pb.QueryRequest, calls.query),
    "Complete": unary(pb.CompleteRequest, calls.complete),
    "StreamEvents": downward(pb.StreamEventsRequest, streams.stream_events),
    "StreamRuns": downward(pb.StreamRunsRequest, streams.stream_runs),
    "GetRun": unary(pb.GetRunRequest, calls.get_run),
    "WaitRun": unary(pb.WaitRunRequest, calls.wait_run),
    "ListRuns": unary(pb.ListRunsRequest, calls.list_runs),
    "CancelRun": unary(pb.CancelRunRequest, calls.cancel_run),
    "GetMeta": unary(pb.GetMetaRequest, calls.get_meta),
    "ReadContent": downward(pb.ReadContentRequest, streams.read_content),
    "OpenUpload": unary(pb.OpenUploadRequest, files.open_upload),
    "WriteUpload": upward(pb.WriteUploadRequest, files.write_upload),
    "GetUpload": unary(pb.GetUploadRequest, files.get_upload),
    "FinishUpload": unary(pb.FinishUploadRequest, files.finish_upload),
    "DropUpload": unary(pb.DropUploadRequest, files.drop_upload),
}
"""All of them; a test compares the names with those of the protocol."""

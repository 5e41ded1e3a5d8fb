from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATUS_UNSPECIFIED: _ClassVar[RunStatus]
    RUN_STATUS_PENDING: _ClassVar[RunStatus]
    RUN_STATUS_HELD: _ClassVar[RunStatus]
    RUN_STATUS_RUNNING: _ClassVar[RunStatus]
    RUN_STATUS_SUCCEEDED: _ClassVar[RunStatus]
    RUN_STATUS_FAILED: _ClassVar[RunStatus]
    RUN_STATUS_CANCELLED: _ClassVar[RunStatus]
    RUN_STATUS_TIMED_OUT: _ClassVar[RunStatus]
    RUN_STATUS_INTERRUPTED: _ClassVar[RunStatus]
RUN_STATUS_UNSPECIFIED: RunStatus
RUN_STATUS_PENDING: RunStatus
RUN_STATUS_HELD: RunStatus
RUN_STATUS_RUNNING: RunStatus
RUN_STATUS_SUCCEEDED: RunStatus
RUN_STATUS_FAILED: RunStatus
RUN_STATUS_CANCELLED: RunStatus
RUN_STATUS_TIMED_OUT: RunStatus
RUN_STATUS_INTERRUPTED: RunStatus

class GetHostRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetHostResponse(_message.Message):
    __slots__ = ("host_id", "boot_id", "version", "principal", "role", "source")
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    host_id: str
    boot_id: str
    version: str
    principal: str
    role: str
    source: str
    def __init__(self, host_id: _Optional[str] = ..., boot_id: _Optional[str] = ..., version: _Optional[str] = ..., principal: _Optional[str] = ..., role: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class Argv(_message.Message):
    __slots__ = ("words",)
    WORDS_FIELD_NUMBER: _ClassVar[int]
    words: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, words: _Optional[_Iterable[str]] = ...) -> None: ...

class InvokeRequest(_message.Message):
    __slots__ = ("command_id", "args_json", "argv", "line", "timeout_seconds", "deadline_us", "idempotency_key", "session_id", "labels", "command_revision", "not_before_us", "wait_seconds", "cancel_on_disconnect")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    ARGV_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_US_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_REVISION_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_US_FIELD_NUMBER: _ClassVar[int]
    WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CANCEL_ON_DISCONNECT_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    args_json: bytes
    argv: Argv
    line: str
    timeout_seconds: float
    deadline_us: int
    idempotency_key: str
    session_id: str
    labels: _containers.ScalarMap[str, str]
    command_revision: str
    not_before_us: int
    wait_seconds: float
    cancel_on_disconnect: bool
    def __init__(self, command_id: _Optional[str] = ..., args_json: _Optional[bytes] = ..., argv: _Optional[_Union[Argv, _Mapping]] = ..., line: _Optional[str] = ..., timeout_seconds: _Optional[float] = ..., deadline_us: _Optional[int] = ..., idempotency_key: _Optional[str] = ..., session_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., command_revision: _Optional[str] = ..., not_before_us: _Optional[int] = ..., wait_seconds: _Optional[float] = ..., cancel_on_disconnect: _Optional[bool] = ...) -> None: ...

class InvokeResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class QueryRequest(_message.Message):
    __slots__ = ("query_id", "args_json", "argv")
    QUERY_ID_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    ARGV_FIELD_NUMBER: _ClassVar[int]
    query_id: str
    args_json: bytes
    argv: Argv
    def __init__(self, query_id: _Optional[str] = ..., args_json: _Optional[bytes] = ..., argv: _Optional[_Union[Argv, _Mapping]] = ...) -> None: ...

class QueryResponse(_message.Message):
    __slots__ = ("value_json", "incomplete")
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    value_json: bytes
    incomplete: bool
    def __init__(self, value_json: _Optional[bytes] = ..., incomplete: _Optional[bool] = ...) -> None: ...

class CompleteRequest(_message.Message):
    __slots__ = ("command_id", "words", "incomplete")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    words: _containers.RepeatedScalarFieldContainer[str]
    incomplete: str
    def __init__(self, command_id: _Optional[str] = ..., words: _Optional[_Iterable[str]] = ..., incomplete: _Optional[str] = ...) -> None: ...

class CompleteResponse(_message.Message):
    __slots__ = ("completions",)
    COMPLETIONS_FIELD_NUMBER: _ClassVar[int]
    completions: _containers.RepeatedCompositeFieldContainer[Completion]
    def __init__(self, completions: _Optional[_Iterable[_Union[Completion, _Mapping]]] = ...) -> None: ...

class Completion(_message.Message):
    __slots__ = ("value", "description", "kind")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    value: str
    description: str
    kind: str
    def __init__(self, value: _Optional[str] = ..., description: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class StreamEventsRequest(_message.Message):
    __slots__ = ("stream", "after", "follow")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    stream: str
    after: int
    follow: bool
    def __init__(self, stream: _Optional[str] = ..., after: _Optional[int] = ..., follow: _Optional[bool] = ...) -> None: ...

class StreamEventsResponse(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("seq", "time_us", "kind", "level", "by", "text", "data_json", "incomplete")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    seq: int
    time_us: int
    kind: str
    level: str
    by: str
    text: str
    data_json: bytes
    incomplete: bool
    def __init__(self, seq: _Optional[int] = ..., time_us: _Optional[int] = ..., kind: _Optional[str] = ..., level: _Optional[str] = ..., by: _Optional[str] = ..., text: _Optional[str] = ..., data_json: _Optional[bytes] = ..., incomplete: _Optional[bool] = ...) -> None: ...

class StreamRunsRequest(_message.Message):
    __slots__ = ("after", "filter")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    after: str
    filter: RunFilter
    def __init__(self, after: _Optional[str] = ..., filter: _Optional[_Union[RunFilter, _Mapping]] = ...) -> None: ...

class StreamRunsResponse(_message.Message):
    __slots__ = ("runs", "cursor", "reset")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[Run]
    cursor: str
    reset: bool
    def __init__(self, runs: _Optional[_Iterable[_Union[Run, _Mapping]]] = ..., cursor: _Optional[str] = ..., reset: _Optional[bool] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("id", "num", "command_id", "command_revision", "status", "principal", "source", "chain", "role", "credential", "category", "args_json", "args_digest", "decision", "session_id", "parent_run_id", "rerun_of", "detached", "depth", "labels", "attempt", "owner", "lock_key", "idempotency_key", "not_before_us", "deadline_us", "cancel_requested_us", "created_us", "started_us", "finished_us", "stats", "result_json", "error", "last_seq", "incomplete")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class StatsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NUM_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    COMMAND_REVISION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    ARGS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    RERUN_OF_FIELD_NUMBER: _ClassVar[int]
    DETACHED_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    LOCK_KEY_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_US_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_US_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REQUESTED_US_FIELD_NUMBER: _ClassVar[int]
    CREATED_US_FIELD_NUMBER: _ClassVar[int]
    STARTED_US_FIELD_NUMBER: _ClassVar[int]
    FINISHED_US_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    RESULT_JSON_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    id: str
    num: int
    command_id: str
    command_revision: str
    status: RunStatus
    principal: str
    source: str
    chain: _containers.RepeatedScalarFieldContainer[str]
    role: str
    credential: str
    category: str
    args_json: bytes
    args_digest: str
    decision: str
    session_id: str
    parent_run_id: str
    rerun_of: str
    detached: bool
    depth: int
    labels: _containers.ScalarMap[str, str]
    attempt: int
    owner: str
    lock_key: str
    idempotency_key: str
    not_before_us: int
    deadline_us: int
    cancel_requested_us: int
    created_us: int
    started_us: int
    finished_us: int
    stats: _containers.ScalarMap[str, float]
    result_json: bytes
    error: Error
    last_seq: int
    incomplete: bool
    def __init__(self, id: _Optional[str] = ..., num: _Optional[int] = ..., command_id: _Optional[str] = ..., command_revision: _Optional[str] = ..., status: _Optional[_Union[RunStatus, str]] = ..., principal: _Optional[str] = ..., source: _Optional[str] = ..., chain: _Optional[_Iterable[str]] = ..., role: _Optional[str] = ..., credential: _Optional[str] = ..., category: _Optional[str] = ..., args_json: _Optional[bytes] = ..., args_digest: _Optional[str] = ..., decision: _Optional[str] = ..., session_id: _Optional[str] = ..., parent_run_id: _Optional[str] = ..., rerun_of: _Optional[str] = ..., detached: _Optional[bool] = ..., depth: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., attempt: _Optional[int] = ..., owner: _Optional[str] = ..., lock_key: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., not_before_us: _Optional[int] = ..., deadline_us: _Optional[int] = ..., cancel_requested_us: _Optional[int] = ..., created_us: _Optional[int] = ..., started_us: _Optional[int] = ..., finished_us: _Optional[int] = ..., stats: _Optional[_Mapping[str, float]] = ..., result_json: _Optional[bytes] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., last_seq: _Optional[int] = ..., incomplete: _Optional[bool] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message", "details_json", "incomplete")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_JSON_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    details_json: bytes
    incomplete: bool
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., details_json: _Optional[bytes] = ..., incomplete: _Optional[bool] = ...) -> None: ...

class GetRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class WaitRunRequest(_message.Message):
    __slots__ = ("run_id", "timeout_seconds")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    timeout_seconds: float
    def __init__(self, run_id: _Optional[str] = ..., timeout_seconds: _Optional[float] = ...) -> None: ...

class WaitRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class RunFilter(_message.Message):
    __slots__ = ("status", "command", "principal", "source", "session_id", "parent_run_id", "created_after_us", "created_before_us")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AFTER_US_FIELD_NUMBER: _ClassVar[int]
    CREATED_BEFORE_US_FIELD_NUMBER: _ClassVar[int]
    status: _containers.RepeatedScalarFieldContainer[RunStatus]
    command: str
    principal: str
    source: str
    session_id: str
    parent_run_id: str
    created_after_us: int
    created_before_us: int
    def __init__(self, status: _Optional[_Iterable[_Union[RunStatus, str]]] = ..., command: _Optional[str] = ..., principal: _Optional[str] = ..., source: _Optional[str] = ..., session_id: _Optional[str] = ..., parent_run_id: _Optional[str] = ..., created_after_us: _Optional[int] = ..., created_before_us: _Optional[int] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ("filter", "page_size", "cursor")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    filter: RunFilter
    page_size: int
    cursor: str
    def __init__(self, filter: _Optional[_Union[RunFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListRunsResponse(_message.Message):
    __slots__ = ("runs", "next_cursor")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[Run]
    next_cursor: str
    def __init__(self, runs: _Optional[_Iterable[_Union[Run, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class CancelRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class CancelRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class GetMetaRequest(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: str
    def __init__(self, revision: _Optional[str] = ...) -> None: ...

class GetMetaResponse(_message.Message):
    __slots__ = ("revision", "generation", "not_modified", "meta_json", "incomplete")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    NOT_MODIFIED_FIELD_NUMBER: _ClassVar[int]
    META_JSON_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    revision: str
    generation: int
    not_modified: bool
    meta_json: bytes
    incomplete: bool
    def __init__(self, revision: _Optional[str] = ..., generation: _Optional[int] = ..., not_modified: _Optional[bool] = ..., meta_json: _Optional[bytes] = ..., incomplete: _Optional[bool] = ...) -> None: ...

class ReadContentRequest(_message.Message):
    __slots__ = ("artifact_id", "run_id", "query", "meta", "event", "offset", "length", "sha256")
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    artifact_id: str
    run_id: str
    query: QueryRequest
    meta: MetaContent
    event: EventContent
    offset: int
    length: int
    sha256: str
    def __init__(self, artifact_id: _Optional[str] = ..., run_id: _Optional[str] = ..., query: _Optional[_Union[QueryRequest, _Mapping]] = ..., meta: _Optional[_Union[MetaContent, _Mapping]] = ..., event: _Optional[_Union[EventContent, _Mapping]] = ..., offset: _Optional[int] = ..., length: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class MetaContent(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EventContent(_message.Message):
    __slots__ = ("stream", "seq")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    stream: str
    seq: int
    def __init__(self, stream: _Optional[str] = ..., seq: _Optional[int] = ...) -> None: ...

class ReadContentResponse(_message.Message):
    __slots__ = ("info", "chunk")
    INFO_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    info: ContentInfo
    chunk: bytes
    def __init__(self, info: _Optional[_Union[ContentInfo, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class ContentInfo(_message.Message):
    __slots__ = ("name", "size", "sha256", "media_type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    size: int
    sha256: str
    media_type: str
    def __init__(self, name: _Optional[str] = ..., size: _Optional[int] = ..., sha256: _Optional[str] = ..., media_type: _Optional[str] = ...) -> None: ...

class Upload(_message.Message):
    __slots__ = ("id", "principal", "name", "offset", "size", "sha256", "media_type", "created_us", "expires_us", "run_ids", "handle")
    ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    CREATED_US_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_US_FIELD_NUMBER: _ClassVar[int]
    RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    id: str
    principal: str
    name: str
    offset: int
    size: int
    sha256: str
    media_type: str
    created_us: int
    expires_us: int
    run_ids: _containers.RepeatedScalarFieldContainer[str]
    handle: str
    def __init__(self, id: _Optional[str] = ..., principal: _Optional[str] = ..., name: _Optional[str] = ..., offset: _Optional[int] = ..., size: _Optional[int] = ..., sha256: _Optional[str] = ..., media_type: _Optional[str] = ..., created_us: _Optional[int] = ..., expires_us: _Optional[int] = ..., run_ids: _Optional[_Iterable[str]] = ..., handle: _Optional[str] = ...) -> None: ...

class OpenUploadRequest(_message.Message):
    __slots__ = ("name", "size", "media_type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    size: int
    media_type: str
    def __init__(self, name: _Optional[str] = ..., size: _Optional[int] = ..., media_type: _Optional[str] = ...) -> None: ...

class OpenUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ...) -> None: ...

class WriteUploadRequest(_message.Message):
    __slots__ = ("upload_id", "offset", "chunk")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    offset: int
    chunk: bytes
    def __init__(self, upload_id: _Optional[str] = ..., offset: _Optional[int] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class WriteUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ...) -> None: ...

class GetUploadRequest(_message.Message):
    __slots__ = ("upload_id",)
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    def __init__(self, upload_id: _Optional[str] = ...) -> None: ...

class GetUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ...) -> None: ...

class FinishUploadRequest(_message.Message):
    __slots__ = ("upload_id", "sha256")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    sha256: str
    def __init__(self, upload_id: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class FinishUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ...) -> None: ...

class DropUploadRequest(_message.Message):
    __slots__ = ("upload_id",)
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    def __init__(self, upload_id: _Optional[str] = ...) -> None: ...

class DropUploadResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

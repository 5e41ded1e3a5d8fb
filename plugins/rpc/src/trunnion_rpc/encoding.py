"""What the host has, as messages: runs, events, uploads; and how much of it fits into one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from trunnion.model.events import NULL, Event
from trunnion.model.json import encode
from trunnion.model.runs import Run
from trunnion.model.status import Status
from trunnion.model.uploads import UploadInfo
from trunnion_rpc.errors import own_form
from trunnion_rpc.v1 import runtime_pb2 as pb

STATUSES: Final[Mapping[Status, pb.RunStatus]] = {
    "pending": pb.RUN_STATUS_PENDING,
    "held": pb.RUN_STATUS_HELD,
    "running": pb.RUN_STATUS_RUNNING,
    "succeeded": pb.RUN_STATUS_SUCCEEDED,
    "failed": pb.RUN_STATUS_FAILED,
    "cancelled": pb.RUN_STATUS_CANCELLED,
    "timed_out": pb.RUN_STATUS_TIMED_OUT,
    "interrupted": pb.RUN_STATUS_INTERRUPTED,
}
NAMES: Final[Mapping[int, Status]] = {int(number): name for name, number in STATUSES.items()}

SLACK = 1024
"""Bytes of a message that are not its content."""

TIMES: Final[Mapping[str, str]] = {
    "not_before_us": "not_before",
    "deadline_us": "deadline_at",
    "cancel_requested_us": "cancel_requested_at",
    "created_us": "created",
    "started_us": "started",
    "finished_us": "finished",
}


# -- runs --------------------------------------------------------------------------------------------------------------


def run_message(run: Run, most: int) -> pb.Run:
    """A run, without what is too large.

    Args:
        run: the run.
        most: bytes it may have; result, arguments and details of the error are left out in this order.
    """
    made = pb.Run(
        id=run.id,
        num=run.num,
        command_id=run.command_id,
        command_revision=run.command_revision,
        status=STATUSES[run.status],
        principal=run.principal,
        source=run.source,
        chain=run.chain,
        role=run.role,
        credential=run.credential,
        category=run.category,
        args_json=encode(run.args),
        args_digest=run.args_digest,
        decision=run.decision,
        session_id=run.session_id,
        parent_run_id=run.parent_run_id,
        rerun_of=run.rerun_of,
        detached=run.detached,
        depth=run.depth,
        labels=run.labels,
        attempt=run.attempt,
        owner=run.owner,
        lock_key=run.lock_key,
        idempotency_key=run.idempotency_key,
        not_before_us=run.not_before,
        deadline_us=run.deadline_at,
        cancel_requested_us=run.cancel_requested_at,
        created_us=run.created,
        started_us=run.started,
        finished_us=run.finished,
        stats=run.stats,
        last_seq=run.last_seq,
    )
    if run.result is not None:
        made.result_json = encode(run.result)
    if run.error is not None:
        made.error.CopyFrom(own_form(run.error))
    if made.ByteSize() > most:
        _shorten(made, most)
    return made


def _shorten(made: pb.Run, most: int) -> None:
    made.incomplete, made.result_json = True, b""
    if made.ByteSize() > most:
        made.args_json = b""
    if made.ByteSize() > most:
        made.error.details_json, made.error.incomplete = b"", True


def run_messages(runs: Sequence[Run], most: int) -> list[pb.Run]:
    """Runs for one message, each with its share of the room."""
    return [run_message(run, most // max(1, len(runs))) for run in runs]


# -- events ------------------------------------------------------------------------------------------------------------

EVENTS_TAG = b"\x0a"
"""Field 1, length-delimited: what stands before each event in a ``StreamEventsResponse``."""


class EventEncoder:
    """Encodes an event once for all followers.

    They are handed the same objects shortly after one another, so a small memory is enough; it holds the events
    themselves, which keeps their identity theirs.

    Args:
        most: bytes of one event; a larger one goes without text and data.
        capacity: how many encoded events are remembered.
        room: bytes they and what was made of them may have together; a larger one is remembered alone.
    """

    def __init__(self, most: int, capacity: int = 4096, room: int = 8 << 20) -> None:
        self._most = most
        self._capacity = capacity
        self._room = room
        self._size = 0
        self._known: dict[int, tuple[Event, bytes]] = {}

    def encode(self, event: Event) -> bytes:
        """The event as a part of a message."""
        known = self._known.get(id(event))
        if known is not None:
            return known[1]
        raw = event_message(event, self._most).SerializeToString()
        data = EVENTS_TAG + _varint(len(raw)) + raw
        size = len(data) + len(event.text) + memoryview(event.raw).nbytes
        if len(self._known) >= self._capacity or self._size + size > self._room:
            self._known.clear()
            self._size = 0
        self._size += size
        self._known[id(event)] = (event, data)
        return data

    def messages(self, batch: Iterable[Event], limit: int) -> Iterator[bytes]:
        """A batch as encoded ``StreamEventsResponse`` of about ``limit`` bytes at most; a larger event goes alone."""
        part: list[bytes] = []
        size = 0
        for event in batch:
            data = self.encode(event)
            if part and size + len(data) > limit:
                yield b"".join(part)
                part, size = [], 0
            part.append(data)
            size += len(data)
        if part:
            yield b"".join(part)


def event_message(event: Event, most: int) -> pb.Event:
    """An event, without text and data where it has more bytes than ``most``."""
    made = pb.Event(
        seq=event.seq,
        time_us=event.ts,
        kind=event.kind,
        level=event.level,
        by=event.by,
        text=event.text,
        data_json=b"" if event.raw is NULL or event.raw == NULL else bytes(event.raw),
    )
    if made.ByteSize() > most:
        made.text, made.data_json, made.incomplete = "", b"", True
    return made


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


# -- uploads -----------------------------------------------------------------------------------------------------------


def upload_message(info: UploadInfo) -> pb.Upload:
    """An upload."""
    return pb.Upload(
        id=info.id,
        principal=info.principal,
        name=info.name,
        offset=info.offset,
        size=info.size,
        sha256=info.sha256,
        media_type=info.media_type,
        created_us=info.created,
        expires_us=info.expires,
        run_ids=info.runs,
        handle=info.handle,
    )

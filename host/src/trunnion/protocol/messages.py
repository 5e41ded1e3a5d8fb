"""The envelope: what goes over a connection, one JSON object a message.

=============  ============================================  =========================================
type           fields                                        sent by
=============  ============================================  =========================================
``rpc``        ``id``, ``method``, ``params``, ``timeout``   the client; ``timeout`` in seconds may be left out
``rpc_result`` ``id``, ``result``                            the host
``rpc_error``  ``id``, ``code``, ``message``, ``details``,   the host; ``number`` is the HTTP status; ``id`` is
               ``number``                                    null when the message could not be read
``event``      ``event``, ``data``                           the host; ``event`` is ``stream``, see ``stream_frame``
=============  ============================================  =========================================

Ids are chosen by the client and are free again once answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from trunnion.arguments import strict
from trunnion.model.errors import ERROR_TABLE, ErrorInfo, InvalidArguments
from trunnion.model.events import Event, encode_event
from trunnion.model.json import Json, encode, valid_text
from trunnion.model.runs import Run

PROTOCOL: Final = 1
"""Generation of the envelope and the method table; methods and fields are only ever added to it."""

DEPTH: Final = 110
"""How deep a message may nest: what arguments may, and the envelope around them."""

CallId: TypeAlias = Annotated[str, msgspec.Meta(max_length=128)] | Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request. ``type`` is a field of its own: as a tag it could be left out."""

    type: Literal["rpc"]
    id: CallId
    method: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    params: Mapping[str, Json] = {}
    timeout: Annotated[float, msgspec.Meta(gt=0)] | None = None


class _Named(msgspec.Struct, frozen=True):
    """What has to be known of a call to refuse it."""

    id: CallId


class Result(msgspec.Struct, frozen=True, tag_field="type", tag="rpc_result"):
    """The answer to a call; ``result`` is left encoded for whoever knows its type."""

    id: CallId
    result: msgspec.Raw


class Failure(msgspec.Struct, frozen=True, tag_field="type", tag="rpc_error"):
    """A refused or failed call."""

    id: CallId | None
    code: str
    message: str
    details: dict[str, Json] = {}
    number: int = 500


class Notice(msgspec.Struct, frozen=True, tag_field="type", tag="event"):
    """Something the client did not ask for just now."""

    event: str
    data: msgspec.Raw


class StreamData(msgspec.Struct, frozen=True):
    """The data of an ``event`` named ``stream``.

    Attributes:
        events: a batch, in order, never empty unless ``ended``.
        ended: nothing follows on this subscription.
        error: why it ended, if not by the end of the stream.
        run: the ended run, of a subscription that began with ``command.submit``.
    """

    subscription: str
    stream: str
    events: list[Event] = []
    ended: bool = False
    error: ErrorInfo | None = None
    run: Run | None = None


class FollowedRun(Run, frozen=True, kw_only=True):
    """What ``command.submit`` answers where the run is followed.

    Attributes:
        subscription: on which its events come.
    """

    subscription: str


Answer: TypeAlias = Result | Failure | Notice
_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def parse_call(message: bytes) -> Call:
    """Read what a client sent.

    Raises:
        InvalidArguments: not strict JSON, or not a call; ``details["id"]`` is the call's id if one was found.
    """
    try:
        value = strict.loads(message, max_depth=DEPTH)
    except InvalidArguments as error:
        named = {} if '"id"' in error.message else _named(message)  # given twice, it names no call
        raise InvalidArguments(error.message, {**error.details, **named}) from None
    try:
        return msgspec.convert(value, Call)
    except msgspec.ValidationError as error:
        found = value.get("id") if isinstance(value, Mapping) else None
        details = {"id": found} if isinstance(found, str | int) else {}
        raise InvalidArguments(f"not a call: {error}", details) from None


def _named(message: bytes) -> dict[str, Json]:
    """The id of a call that is refused unread, so that whoever waits for its answer gets it."""
    try:
        return {"id": msgspec.json.decode(message, type=_Named).id}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def parse_answer(message: bytes) -> Answer:
    """Read what the host sent.

    Raises:
        msgspec.DecodeError: not an answer of this protocol.
    """
    return _answers.decode(message)


def call_frame(call_id: CallId, method: str, params: Mapping[str, object]) -> bytes:
    """A call as bytes; parameters may be structs."""
    return encode({"type": "rpc", "id": call_id, "method": method, "params": params})


def result_frame(call_id: CallId, result: object) -> bytes:
    """A result as bytes; a ``msgspec.Raw`` goes in as it is."""
    return b'{"type":"rpc_result","id":%b,"result":%b}' % (encode(call_id), encode(result))


def error_frame(call_id: CallId | None, error: ErrorInfo) -> bytes:
    """A refusal as bytes."""
    row, error = ERROR_TABLE.get(error.code, ERROR_TABLE["failed"]), _sendable(error)
    return encode(Failure(call_id, error.code, error.message, error.details, row.http))


def _sendable(error: ErrorInfo) -> ErrorInfo:
    """A refusal is always answered: details that JSON has no form for, as a plugin may have put there, stay behind."""
    try:
        encode(error)
    except (TypeError, ValueError, RecursionError):
        return ErrorInfo(error.code, valid_text(error.message))
    return error


def stream_frame(subscription: str, stream: str, events: Iterable[bytes]) -> bytes:
    """A batch of encoded events as one message."""
    head = b'{"type":"event","event":"stream","data":{"subscription":%b,"stream":%b,"events":['
    return head % (encode(subscription), encode(stream)) + b",".join(events) + b"]}}"


def ended_frame(subscription: str, stream: str, error: ErrorInfo | None = None, run: Run | None = None) -> bytes:
    """The mark after which nothing follows on a subscription; ``run`` is the run whose stream has ended."""
    data: dict[str, object] = {"subscription": subscription, "stream": stream, "events": [], "ended": True}
    if error is not None:
        data["error"] = _sendable(error)
    if run is not None:
        data["run"] = run
    return encode({"type": "event", "event": "stream", "data": data})


class EventEncoder:
    """Encodes an event once for all connections that send it.

    Followers of one stream are handed the same objects shortly after one another, so a small memory
    is enough; it holds the events themselves, which keeps their identity theirs.

    Args:
        capacity: how many encoded events are remembered.
    """

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._known: dict[int, tuple[Event, bytes]] = {}

    def encode(self, event: Event) -> bytes:
        """The event as JSON."""
        known = self._known.get(id(event))
        if known is not None:
            return known[1]
        data = encode_event(event)
        if len(self._known) >= self._capacity:
            self._known.clear()
        self._known[id(event)] = (event, data)
        return data

    def frames(self, subscription: str, stream: str, batch: Sequence[Event], limit: int) -> Iterator[bytes]:
        """A batch as messages of about ``limit`` bytes at most; a larger event goes alone."""
        part: list[bytes] = []
        size = 0
        for event in batch:
            data = self.encode(event)
            if part and size + len(data) > limit:
                yield stream_frame(subscription, stream, part)
                part, size = [], 0
            part.append(data)
            size += len(data)
        if part:
            yield stream_frame(subscription, stream, part)

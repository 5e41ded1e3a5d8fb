"""What the host and the process of an isolated handler say to each other.

Frames: four bytes of length, most significant first, then MessagePack. The process writes to the descriptor it was
given as standard output and reads from its standard input; JSON travels inside frames as it was encoded. Nothing
that comes from the process is believed: it states what it would like, in ``kernel.isolated_talk`` the host decides.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from trunnion.model.errors import ErrorInfo, TrunnionError
from trunnion.model.runs import Caller, Run

HEADER: Final = 4
FRAME_CAP: Final = 6 << 20
"""Bytes of the largest frame from the process: an event's data, and some room."""

TEXT_CAP: Final = 1 << 20
"""Characters of printed text one frame carries."""

EMIT_TEXT_CAP: Final = 256 << 10
"""Characters of text that go beside an event's data; the host shows fewer."""

PIECE: Final = 256 << 10
"""Bytes of a result or a file that one frame carries."""

RESULT_CAP: Final = 64 << 20
"""Bytes of an encoded result; it passes through the host's memory, what is larger belongs in an artifact."""


class Place(msgspec.Struct, frozen=True):
    """Where a function is.

    Attributes:
        module: its module's name.
        function: its name there.
        file: the file to load under the module's name; ``""`` where an import by that name finds it.
    """

    module: str
    function: str
    file: str = ""


class Frame(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """One of the things that can be said."""


# -- from the host --------------------------------------------------------------------------------


class Start(Frame, frozen=True):
    """What to run. Said once, first.

    Attributes:
        call: the arguments by position and by name, pickled: they are Python values of the module's own types.
        with_context: whether the context comes first.
        deadline: on the monotonic clock, which all processes share, seconds.
        log_level: the least level that ``logging`` hands on.
    """

    place: Place
    call: bytes
    with_context: bool
    run: Run
    caller: Caller
    deadline: float | None
    log_level: int


class Stop(Frame, frozen=True):
    """The handler is to end, and why: ``cancelled``, ``timed_out`` or ``interrupted``."""

    reason: str


class Answer(Frame, frozen=True):
    """What became of a question: a JSON value or an error."""

    number: int
    value: bytes = b"null"
    error: ErrorInfo | None = None


class More(Frame, frozen=True):
    """The next piece of a file is wanted."""

    number: int


# -- from the process -----------------------------------------------------------------------------


class Text(Frame, frozen=True):
    """Text in any pieces, as it was printed."""

    text: str
    channel: str


class Block(Frame, frozen=True):
    """A block of whole lines, the last of which lost ``cut`` bytes."""

    text: str
    channel: str
    level: str
    cut: int = 0


class Emit(Frame, frozen=True):
    """An event; ``data`` is JSON."""

    kind: str
    text: str
    data: bytes
    level: str
    by: str


class Progress(Frame, frozen=True):
    """How far the work has come."""

    done: int | float
    total: int | float | None
    text: str


class Figures(Frame, frozen=True):
    """The counters as they are now."""

    figures: dict[str, int | float]


class Conceal(Frame, frozen=True):
    """From now on these are secrets of the run."""

    values: tuple[str, ...]


class Invoke(Frame, frozen=True):
    """Question: run another command, ``args`` being a JSON object."""

    number: int
    command_id: str
    args: bytes
    timeout: float | None


class Flush(Frame, frozen=True):
    """Question: tell when all that was emitted is on record."""

    number: int


class Keep(Frame, frozen=True):
    """Question: keep a file with the run; its pieces follow as they are wanted."""

    number: int
    name: str
    media_type: str


class Piece(Frame, frozen=True):
    """A piece of a file: empty at its end, None when it is given up."""

    number: int
    data: bytes | None


class Part(Frame, frozen=True):
    """A part of the encoded result."""

    data: bytes


class Returned(Frame, frozen=True):
    """The end: the handler returned what the parts say, without any of them nothing."""


class Raised(Frame, frozen=True):
    """The end: the handler raised.

    Attributes:
        details: JSON.
        unfit: details that JSON has no form for, as text.
        trace: a traceback worth keeping.
    """

    code: str
    message: str
    details: bytes
    unfit: str
    trace: str | None


class Stopped(Frame, frozen=True):
    """The end: the handler was cancelled."""


Order: TypeAlias = Start | Stop | Answer | More
Said: TypeAlias = (
    Text | Block | Emit | Progress | Figures | Conceal | Invoke | Flush | Keep | Piece | Part | Returned | Raised
    | Stopped
)  # fmt: skip

_encoder = msgspec.msgpack.Encoder()
_orders: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
_said: msgspec.msgpack.Decoder[Said] = msgspec.msgpack.Decoder(Said)


def pack(frame: Order | Said) -> bytes:
    """A frame as it travels."""
    body = _encoder.encode(frame)
    return len(body).to_bytes(HEADER, "big") + body


def order_of(body: bytes) -> Order:
    """What the host said."""
    return _orders.decode(body)


def said_of(body: bytes | bytearray) -> Said:
    """What the process said.

    Raises:
        msgspec.DecodeError: it is nothing that can be said.
    """
    return _said.decode(body)


class Garbled(TrunnionError):
    """A stream that cannot be read on: the length of the next frame is no length."""


class Frames:
    """Cuts a stream of bytes into frames; what it holds is at most a frame and what came with its end."""

    def __init__(self, cap: int = FRAME_CAP) -> None:
        self._cap = cap
        self._data = bytearray()

    @property
    def held(self) -> int:
        """Bytes that are no whole frame yet, or were not asked for."""
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Add what came."""
        self._data += data

    def next(self) -> bytearray | None:
        """The body of the next frame, None while it is not whole.

        Raises:
            Garbled: it would be larger than the cap.
        """
        size = int.from_bytes(self._data[:HEADER], "big")
        if size > self._cap:
            raise Garbled(f"a frame of {size} bytes, where at most {self._cap} are allowed")
        if len(self._data) < HEADER + size or len(self._data) < HEADER:
            return None
        body = self._data[HEADER : HEADER + size]
        del self._data[: HEADER + size]
        return body

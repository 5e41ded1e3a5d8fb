"""Messages between the host and a minder: four bytes of length, then one marshalled tuple.

Both ends are the same interpreter and the same version of this file, and the socket is open in no
other process, so ``marshal`` is safe here and costs the keeper no import.
"""

from __future__ import annotations

import marshal
from typing import TypeAlias

Plain: TypeAlias = "bool | int | float | str | bytes | tuple[Plain, ...] | list[Plain] | dict[str, Plain] | None"
Message: TypeAlias = tuple[Plain, ...]
"""A name, then what belongs to it; the names are those in ``minder``."""

_HEAD = 4


def pack(message: Message) -> bytes:
    """One message as bytes."""
    body = marshal.dumps(message)
    return len(body).to_bytes(_HEAD, "little") + body


class Unpacker:
    """Cuts a byte stream back into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Add what was read; return the messages that are now complete."""
        self._buffer += data
        messages: list[Message] = []
        while (end := self._end()) is not None:
            messages.append(marshal.loads(bytes(self._buffer[_HEAD:end])))  # noqa: S302 - see above
            del self._buffer[:end]
        return messages

    def _end(self) -> int | None:
        end = _HEAD + int.from_bytes(self._buffer[:_HEAD], "little")
        return end if len(self._buffer) >= max(end, _HEAD + 1) else None

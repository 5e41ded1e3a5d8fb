"""Whether a host that runs also answers, and what its log says where it does not."""

from __future__ import annotations

import contextlib
import json

from trunnion.config.data_dir import DataDir
from trunnion.model.errors import TrunnionError
from trunnion.protocol.blocking import BlockingClient

ANSWER = 5.0
"""Seconds within which any host answers whose loop turns."""
TAIL = 64 << 10
"""Bytes at the end of the log that are looked through."""


def silence(data: DataDir) -> str:
    """Why the host that serves a data directory does not answer, ``""`` where it does."""
    try:
        with BlockingClient(data.socket, timeout=ANSWER) as client:
            client.call("hello")
    except TrunnionError as error:
        return last_block(data) or error.message
    return ""


def last_block(data: DataDir) -> str:
    """What kept its loop from turning the last time it was written down, ``""`` where nothing is."""
    with contextlib.suppress(OSError), data.host_log.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - TAIL))
        for line in reversed(file.read().splitlines()):
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("logger") == "loop.blocked":
                    return f"its log says: {entry.get('text')}"
    return ""

"""What is committed to: the exact bytes, which a receipt shows again."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trunnion import Event, Json, Run

ARGS, RESULT, EVENTS = "args", "result", "events"
"""What the salts are for."""

_sorted = msgspec.json.Encoder(order="sorted").encode
_event = msgspec.json.Encoder().encode


def args_text(args: Mapping[str, Json]) -> bytes:
    """The arguments of a run, secrets cut, as they stand in its intent."""
    return _sorted(args)


def result_text(run: Run) -> bytes:
    """The result of a run; empty where it has none."""
    return b"" if run.result is None else _sorted(run.result)


def event_line(event: Event) -> bytes:
    """An event of a run's stream, with its LF."""
    return _event(event) + b"\n"

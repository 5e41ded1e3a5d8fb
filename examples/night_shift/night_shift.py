"""A plugin that watches over a plant at night: a gate, an observer, a query and a subcommand in one file.

While nobody is in, commands that destroy something are refused, and runs that fail are remembered for the morning.
Try it: ``trunnion --plugin-dir examples/night_shift up``, then ``trunnion night-shift``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import click

from trunnion import Admission, Allow, Deny, Event, Gate, Json, LazyCommand, Observer, Query, Setting, Verdict, hookimpl

failures: deque[dict[str, Json]] = deque(maxlen=100)


def is_night(hour: int, begins: int, ends: int) -> bool:
    """Whether an hour lies in the night, which may reach over midnight."""
    return begins <= hour < ends if begins <= ends else hour >= begins or hour < ends


@hookimpl
def trunnion_settings() -> Iterable[Setting]:
    hour: dict[str, Json] = {"type": "integer", "minimum": 0, "maximum": 24}
    yield Setting(key="begins", schema={**hour, "default": 22, "description": "Hour at which the night begins"})
    yield Setting(key="ends", schema={**hour, "default": 6, "description": "Hour at which it ends"})


@hookimpl
def trunnion_gates(settings: Mapping[str, Json]) -> Iterable[Gate]:
    begins, ends = int(str(settings["begins"])), int(str(settings["ends"]))

    async def admit(batch: Sequence[Admission]) -> Sequence[Verdict]:
        night = is_night(datetime.now().hour, begins, ends)
        refusal = Deny(f"nobody is in before {ends} o'clock")
        return [refusal if night and asked.effect == "destroy" else Allow() for asked in batch]

    yield Gate(name="night-shift", admit=admit)


@hookimpl
def trunnion_observers() -> Iterable[Observer]:
    async def remember(events: Sequence[Event]) -> None:
        for event in events:
            if event.kind == "state" and event.level == "error":
                failures.append({"stream": event.stream, "at": event.ts, "text": event.text})

    yield Observer(name="night-shift", on_events=remember, streams="run/*")


@hookimpl
def trunnion_queries() -> Iterable[Query]:
    async def failed() -> dict[str, Json]:
        """Runs that failed since the host started, oldest first."""
        return {"items": list(failures), "next": None}

    yield Query.of(failed, console="night_shift")


@hookimpl
def trunnion_cli() -> Iterable[LazyCommand]:
    def load() -> click.Command:
        @click.command("night-shift")
        def command() -> None:
            """Say what time it is to the night shift."""
            click.echo(f"{datetime.now():%H:%M}: see trunnion query night_shift.failed")

        return command

    yield LazyCommand(name="night-shift", help="What time it is to the night shift.", load=load)

"""The hooks of the plant diary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trunnion import Command, Console, Json, Provider, Setting, hookimpl


@hookimpl
def trunnion_settings() -> Iterable[Setting]:
    """The keys of ``[plant_diary]``."""
    yield Setting(
        key="keep",
        schema={
            "type": "integer",
            "minimum": 1,
            "maximum": 1000,
            "default": 100,
            "description": "Readings kept of each plant",
        },
    )
    yield Setting(
        key="dry_below",
        schema={
            "type": "number",
            "minimum": 0,
            "maximum": 100,
            "default": 20,
            "description": "A reading below this is a warning, per cent",
        },
    )


@hookimpl
def trunnion_provides() -> Iterable[Provider]:
    """The diary, one for each host; it brings its query along."""
    from plant_diary.diary import Diary, open_diary

    yield Provider(type=Diary, open=open_diary)


@hookimpl
def trunnion_commands(settings: Mapping[str, Json]) -> Iterable[Command]:
    """Note a reading, and forget a plant."""
    from plant_diary.diary import forget, note

    yield Command.of(note, console="plant_diary", lock="plant:{plant}", examples=("plant_diary.note basil 12.5",))
    yield Command.of(
        forget,
        console="plant_diary",
        lock="plant:{plant}",
        effect="destroy",
        confirm="Forget all that is known of this plant?",
    )


@hookimpl
def trunnion_consoles() -> Iterable[Console]:
    """How shells show it."""
    yield Console(path="plant_diary", title="Plant diary", prompt="plants> ")

"""What a plugin says about its commands, queries and settings, and to whom it opens them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from trunnion.model.contributions import Setting
from trunnion.model.json import Json, JsonObject
from trunnion.model.names import is_dotted, is_stream_name
from trunnion.testing.report import Finding

DOORS = frozenset({"agent", "rpc", "schedule", "web"})
"""Remote sources of the doors there are."""


def of_settings(settings: Iterable[Setting]) -> Iterator[Finding]:
    """What each setting lacks."""
    for setting in settings:
        name = f"setting {setting.key!r}"
        if setting.key and not is_dotted(setting.key):
            yield Finding("settings", "warning", f"{name} is no name as others are: a-z, 0-9, '_' and '-'")
        if setting.key and not setting.schema.get("description"):
            yield Finding(
                "words", "warning", f"{name} has no description: `trunnion config show` has nothing to say of it"
            )
        if setting.key and "default" not in setting.schema:
            yield Finding("settings", "note", f"{name} has no default: it is None unless it is given")


def of_descriptors(kind: str, descriptors: Iterable[JsonObject]) -> Iterator[Finding]:
    """What descriptors of commands or queries, as they are in meta, leave unsaid."""
    for descriptor in descriptors:
        name = f"{kind} {descriptor['id']}"
        if not descriptor.get("title"):
            yield Finding("words", "warning", f"{name} has no title")
        if not descriptor.get("description"):
            yield Finding("words", "warning", f"{name} has no description: give its function a docstring")
        for argument in _undescribed(descriptor.get("args")):
            yield Finding("words", "warning", f"{name}: nothing says what {argument!r} is: add it under Args:")


def of_access(commands: Iterable[JsonObject]) -> Iterator[Finding]:
    """Who may do what, where it looks as if nobody had thought of it; commands are descriptors as in meta."""
    for command in commands:
        name, effect, exposed = f"command {command['id']}", command["effect"], _names(command.get("expose"))
        if effect == "destroy" and not command.get("confirm"):
            yield Finding("access", "warning", f"{name} destroys and asks nobody: give it confirm='...?'")
        if effect != "read" and command["role"] == "viewer":
            yield Finding("access", "warning", f"{name} changes something, and every viewer may run it")
        if odd := sorted(set(exposed) - DOORS):
            yield Finding("access", "note", f"{name} is exposed to {', '.join(odd)}: is that the source of a door?")
        if exposed:
            by = f"{command['role']}s by {', '.join(sorted(exposed))}"
            yield Finding("access", "note", f"{name} ({effect}) is open to {by}")


def of_streams(streams: Iterable[JsonObject]) -> Iterator[Finding]:
    """Patterns that no stream can fit; streams are descriptors as in meta."""
    for stream in streams:
        pattern = str(stream["pattern"])
        if not is_stream_name(pattern.removesuffix("*").rstrip("/")):
            yield Finding("names", "error", f"stream {pattern!r} fits no name a stream can have")


def _undescribed(schema: Json) -> list[str]:
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    declared = properties.items() if isinstance(properties, Mapping) else ()
    return [name for name, said in declared if not (isinstance(said, Mapping) and said.get("description"))]


def _names(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else []

"""Meta for a person: what can be run and asked, console by console."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trunnion.model.json import Json


def listing(meta: Mapping[str, Json]) -> str:
    """All commands, queries and streams, each with how it is called and what it does.

    Args:
        meta: the descriptor, as ``trunnion meta --json`` prints it.
    """
    consoles = {str(c.get("path")): str(c.get("title") or "") for c in _objects(meta.get("consoles"))}
    commands = _by_console(_objects(meta.get("commands")))
    queries = _by_console(_objects(meta.get("queries")))
    parts = []
    for path in sorted({*commands, *queries}):
        heading = f"{path or 'main console'}  {consoles.get(path, '')}".rstrip()
        rows = [("run", *_row(entry)) for entry in commands.get(path, [])]
        rows += [("query", *_row(entry)) for entry in queries.get(path, [])]
        parts.append("\n".join([heading, *_aligned(rows)]))
    streams = [("follow", str(s.get("pattern")), str(s.get("title") or "")) for s in _objects(meta.get("streams"))]
    if streams:
        parts.append("\n".join(["streams", *_aligned(streams)]))
    return "\n\n".join(parts) + "\n"


def _row(entry: Mapping[str, Json]) -> tuple[str, str]:
    argv = entry.get("argv")
    names = argv.get("names") if isinstance(argv, Mapping) else None
    least = argv.get("min") if isinstance(argv, Mapping) else 0
    words = [
        str(name).upper() if isinstance(least, int) and number < least else f"[{str(name).upper()}]"
        for number, name in enumerate(names if isinstance(names, Sequence) else ())
    ]
    missing = "" if entry.get("available", True) else " (not available)"
    return " ".join([str(entry.get("id")), *words]), str(entry.get("title") or "") + missing


def _aligned(rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    width = max(len(call) for _, call, _ in rows)
    for verb, call, about in rows:
        yield f"  {verb:<7}{call:<{width}}  {about}".rstrip()


def _by_console(entries: Sequence[Mapping[str, Json]]) -> dict[str, list[Mapping[str, Json]]]:
    found: dict[str, list[Mapping[str, Json]]] = {}
    for entry in entries:
        found.setdefault(str(entry.get("id")).rpartition(".")[0], []).append(entry)
    return found


def _objects(value: Json) -> list[Mapping[str, Json]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, Sequence) else []

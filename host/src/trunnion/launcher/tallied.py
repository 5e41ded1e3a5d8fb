"""What a running host has started, as ``trunnion doctor`` shows it: counts, and what should not be there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trunnion.config.data_dir import DataDir
from trunnion.launcher.answering import ANSWER
from trunnion.model.errors import TrunnionError
from trunnion.model.json import Json
from trunnion.protocol.blocking import BlockingClient


def programs(data: DataDir) -> tuple[bool, str]:
    """Whether the programs of the host that serves a data directory are as they should be, and what was seen."""
    try:
        with BlockingClient(data.socket, timeout=ANSWER) as client:
            answer = client.call("query", {"query_id": "host.census"})
    except TrunnionError as error:
        return False, f"the host does not count them: {error.message}"
    return tally(answer if isinstance(answer, Mapping) else {})


def tally(census: Mapping[str, Json]) -> tuple[bool, str]:
    """The census in one line; not well with orphans or zombies, which are named by their pids."""
    found = {name: _listed(census.get(name)) for name in ("alive", "orphans", "zombies")}
    shown = ", ".join(f"{len(entries)} {name}{_pids(name, entries)}" for name, entries in found.items())
    return not (found["orphans"] or found["zombies"]), shown


def _listed(value: Json) -> Sequence[Json]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else []


def _pids(name: str, entries: Sequence[Json]) -> str:
    return f" ({', '.join(map(str, entries))})" if name != "alive" and entries else ""

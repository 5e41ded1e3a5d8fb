"""From what a person calls a run to the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from trunnion import Json, NotFound, Run
from trunnion_tty.jobs import SHORT, Jobs
from trunnion_tty.running import Running
from trunnion_tty.verbs import Wanted

WHOLE = 36
"""Characters of a run's id."""

NEWEST = 200
"""How far back a tag is looked for."""


class Finder:
    """Finds runs of this shell first, then among the newest the host knows.

    Args:
        running: asks the host.
        jobs: those of this shell.
    """

    def __init__(self, running: Running, jobs: Jobs) -> None:
        self._running = running
        self._jobs = jobs

    async def run_id(self, name: str) -> str:
        """The id of a run by number, tag, or beginning or end of its id.

        Raises:
            NotFound: there is none, or several.
        """
        job = self._jobs.find(name) or (None if name else next(reversed(list(self._jobs)), None))
        if job is not None:
            return job.run.id
        if not name:
            raise NotFound("this shell has started nothing yet; say which run")
        if len(name) >= WHOLE:
            return name.lower()
        items, _ = await self._page({"limit": NEWEST}) if len(name) >= SHORT else ([], False)
        ids, part = [str(item.get("id")) for item in items], name.lower()
        found = [run_id for run_id in ids if run_id.startswith(part) or run_id.endswith(part)]
        if not found:
            raise NotFound(f"there is no job {name!r} of this shell, and no such run among the newest {NEWEST}")
        if len(found) > 1:
            raise NotFound(f"{len(found)} runs match {name!r}: say more of the id")
        return found[0]

    async def run(self, run_id: str) -> Run:
        """A run as the host knows it now.

        Raises:
            NotFound: there is none, or it may not be seen.
        """
        return msgspec.convert(await self._running.query("runs.get", {"run_id": run_id}), Run)

    async def page(self, wanted: Wanted) -> tuple[list[Mapping[str, Json]], bool]:
        """Runs the host lists, newest first, and whether there are more."""
        return await self._page(dict(msgspec.to_builtins(wanted.filters)))

    async def _page(self, filters: Mapping[str, Json]) -> tuple[list[Mapping[str, Json]], bool]:
        answer = await self._running.query("runs.list", filters)
        page = answer if isinstance(answer, Mapping) else {}
        items = page.get("items")
        found = [item for item in items if isinstance(item, Mapping)] if isinstance(items, Sequence) else []
        return found, bool(page.get("next"))

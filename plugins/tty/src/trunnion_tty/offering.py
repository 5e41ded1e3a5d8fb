"""Where values for completion come from: the shell itself, queries of the host, the console. Nobody waits long."""

from __future__ import annotations

import asyncio
from itertools import islice

from trunnion import TrunnionError
from trunnion_tty.completing import LOCAL, MOST, Question, answered
from trunnion_tty.link import Link
from trunnion_tty.shell import Shell


class Offers:
    """See ``completer.Values``.

    Args:
        link: the line to the host.
        shell: whose jobs and consoles are offered.
    """

    def __init__(self, link: Link, shell: Shell) -> None:
        self._link = link
        self._shell = shell

    async def answers(self, question: Question) -> list[tuple[str, str]]:
        """See ``completer.Values``."""
        if question.source.startswith(LOCAL):
            return self._own_values(question)
        client, patience = self._link.client, self._link.catalog.settings.completion_timeout
        try:
            async with asyncio.timeout(patience):
                if question.spot.prefix:
                    return answered(await client.query(question.source))
                offered = await client.complete(question.name, question.words, question.typed)
                return [(each.value, each.description) for each in offered]
        except (TrunnionError, TimeoutError):
            return []

    async def here(self, line: str) -> list[tuple[str, str]]:
        """See ``completer.Values``."""
        try:
            async with asyncio.timeout(self._link.catalog.settings.completion_timeout):
                return answered(await self._shell.offered(line))
        except (TrunnionError, TimeoutError):
            return []

    def _own_values(self, question: Question) -> list[tuple[str, str]]:
        catalog, console, source = self._link.catalog, self._shell.console, question.source
        if source in (":jobs", ":active"):
            ended_too = source == ":jobs" and question.words[:1] != ("cancel",)
            jobs = list(self._shell.jobs) if ended_too else self._shell.jobs.active
            return [(str(job.number), f"{job.run.command_id} {job.run.status}") for job in jobs]
        if source == ":consoles":
            return [(name, found.title) for name, found in catalog.others(console)]
        if source == ":commands":
            return [(entry.id, entry.title) for entry in catalog if entry.kind == "command"]
        place = self._shell.place()
        found = islice(catalog.names(console, place.is_own, question.typed), MOST)
        names = [(each.shown, each.entry.title) for each in found]
        return names + [(name, verb.title) for name, verb in place.verbs.items() if place.verb(name)]

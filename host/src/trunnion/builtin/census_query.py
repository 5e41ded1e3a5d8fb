"""``host.census``: what the host has started, what of it is alive, and what the host itself holds."""

from __future__ import annotations

import asyncio
import re
import resource
import threading
from collections import Counter
from pathlib import Path

import msgspec

from trunnion.kernel.core import Kernel
from trunnion.kernel.threads import in_thread
from trunnion.model.commands import Query
from trunnion.model.errors import Unavailable
from trunnion.model.json import Json
from trunnion.process import Keeper, Subtree

REMOTE = frozenset({"web", "rpc"})
_NUMBER = re.compile(r"[-_ ]*\d+.*$")


class CensusQuery(msgspec.Struct, frozen=True):
    """Counts; a host that never started a program answers with zeros."""

    kernel: Kernel

    def queries(self) -> list[Query]:
        """The one there is."""
        return [Query.of(self.census, console="host", title="What runs, and what is held", role="admin", expose=REMOTE)]

    async def census(self) -> dict[str, Json]:
        """Programs with all their descendants, orphans, zombies and cgroups; descriptors, threads and tasks.

        ``orphans`` are living processes that descend from the host's keeper while no living program accounts for
        them, ``zombies`` have ended and nobody waited for them. Both should be empty.
        """
        if self.kernel.readonly:
            raise Unavailable("no host is running, so there is nothing to count; start one with: trunnion up")
        keeper = self.kernel.providers.get(Keeper, "host")
        done, owned, subtree = keeper.census(), keeper.owned(), keeper.subtree
        seen = await in_thread(self.kernel.readers, keeper.surveyor())
        return {
            "started": done.started,
            "failed": done.failed,
            "alive": [msgspec.to_builtins(one) for one in owned],
            "processes": seen.processes,
            "orphans": list[Json](seen.orphans),
            "zombies": list[Json](seen.zombies),
            "keeper": {"pid": keeper.pid, "minders": done.minders},
            "cgroups": {"count": seen.cgroups, **_shown(subtree)},
            "descriptors": {"open": _descriptors(), "limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0]},
            "threads": dict(Counter(_kind(thread.name) for thread in threading.enumerate())),
            "tasks": len(asyncio.all_tasks()),
        }


def _shown(subtree: Subtree) -> dict[str, Json]:
    """Where trees get their cgroups, or why they get none."""
    shown: dict[str, Json] = {"root": subtree.root, "controllers": sorted(subtree.controllers)}
    return shown if subtree.controllers else {**shown, "why": subtree.why}


def _descriptors() -> int:
    """Without the one that looks."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1


def _kind(name: str) -> str:
    """What threads of the same work have in common: ``trunnion-handler-3`` is a ``trunnion-handler``."""
    return _NUMBER.sub("", name) or name

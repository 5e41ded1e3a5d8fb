"""``lanes.*``: what waits for what, and the way out when a handler does not return."""

from __future__ import annotations

from trunnion.kernel.core import Kernel
from trunnion.kernel.lanes import Lane
from trunnion.kernel.live import LiveRun
from trunnion.model.commands import Command, Query
from trunnion.model.errors import Conflict, NotFound
from trunnion.model.json import Json


class LaneCommands:
    """Shows lanes, and frees one whose holder was given up."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def commands(self) -> list[Command]:
        """All commands."""
        return [
            Command.of(
                self.release,
                console="lanes",
                title="Free a lane whose holder does not return",
                role="admin",
                effect="destroy",
                lock=None,
                confirm="The handler that still runs may clash with the next one. Free the lane all the same?",
                complete={"key": "lanes.list"},
            )
        ]

    def queries(self) -> list[Query]:
        """All queries."""
        return [Query.of(self.list_, console="lanes", name="list", title="Lanes in use")]

    async def list_(self) -> dict[str, Json]:
        """Every lane in use: its key, who holds it and who waits, in order."""
        lanes = self._kernel.executor.placement.lanes.by_key
        return {"items": [_shown(lane) for _, lane in sorted(lanes.items())], "next": None}

    async def release(self, key: str) -> dict[str, Json]:
        """Free a lane whose holder was given up but has not returned.

        Args:
            key: the lane's key, as ``lanes.list`` shows it.
        """
        placement = self._kernel.executor.placement
        lanes = [lane for lane in placement.lanes.by_key.values() if lane.shown == key]
        if not lanes:
            raise NotFound(f"no lane {key!r} is in use")
        holders = [m for lane in lanes for m in lane.holders if isinstance(m, LiveRun) and m.abandoned]
        if not holders:
            raise Conflict(f"the lane {key!r} is held by a run that is still watched: cancel that run instead")
        for holder in holders:
            placement.free_lane(holder)
        return {"released": [holder.id for holder in holders]}


def _shown(lane: Lane) -> dict[str, Json]:
    holders = [m for m in lane.holders if isinstance(m, LiveRun)]
    return {
        "value": lane.shown,
        "key": lane.shown,
        "holders": [m.id for m in holders],
        "waiting": [m.id for m, _ in lane.queue],
        "blocked_by": [m.id for m in holders if m.abandoned],
    }

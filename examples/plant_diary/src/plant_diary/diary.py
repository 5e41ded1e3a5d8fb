"""The diary itself: readings as documents in the host's database, one document for each plant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from trunnion import CommandFailed, Context, Contributed, HostHandle, Json, Query, State

Plant = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9-]{0,40}$", description="a name such as basil")]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]


class Diary:
    """What is known of all plants.

    Args:
        state: where it is kept.
        keep: readings kept of each plant.
        dry_below: per cent.
    """

    def __init__(self, state: State, keep: int, dry_below: float) -> None:
        self._state = state
        self._keep = keep
        self.dry_below = dry_below

    async def add(self, plant: str, moisture: float) -> int:
        """Add a reading; returns how many are kept now."""

        def added(readings: Json) -> list[Json]:
            before = list(readings) if isinstance(readings, Sequence) else []
            return [*before, moisture][-self._keep :]

        document = await self._state.update(f"plants/{plant}", added)
        return len(document.value) if isinstance(document.value, Sequence) else 0

    async def remove(self, plant: str) -> bool:
        """Forget a plant; whether it was known."""
        return await self._state.delete(f"plants/{plant}")

    async def plants(
        self, limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100, cursor: str | None = None
    ) -> dict[str, Json]:
        """The plants that are known, with their readings, oldest first.

        Args:
            limit: at most so many plants.
            cursor: as given by the page before.
        """
        page = await self._state.list("plants/", limit=limit, cursor=cursor)
        items = [{"plant": d.key.removeprefix("plants/"), "readings": d.value} for d in page.items]
        return {"items": items, "next": page.next}


async def open_diary(host: HostHandle) -> Diary:
    """Make the diary of one host, and let it be asked."""
    keep, dry_below = host.settings["keep"], host.settings["dry_below"]
    diary = Diary(host.state, msgspec.convert(keep, int), msgspec.convert(dry_below, float))
    plants = Query.of(diary.plants, console="plant_diary")
    host.registry.replace("plant_diary/queries", Contributed(queries=(plants,)))
    return diary


async def note(ctx: Context, plant: Plant, moisture: Percent) -> Json:
    """Note how moist a plant's soil is.

    Args:
        plant: whose.
        moisture: per cent.
    """
    diary = ctx.require(Diary)
    kept = await diary.add(plant, moisture)
    if moisture < diary.dry_below:
        ctx.log(f"{plant} is dry: {moisture:g} %", "warning")
    return {"plant": plant, "kept": kept, "dry": moisture < diary.dry_below}


async def forget(ctx: Context, plant: Plant) -> None:
    """Forget all that is known of a plant.

    Args:
        plant: which one.
    """
    if not await ctx.require(Diary).remove(plant):
        raise CommandFailed(f"nothing is known of {plant}: see trunnion query plant_diary.plants")

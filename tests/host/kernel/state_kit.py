"""A plugin's documents, and what was told of their changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from kernel_kit import Rig

from trunnion.kernel.documents import DocumentLimits
from trunnion.kernel.state import State
from trunnion.model.events import Event

Start = Callable[..., AbstractAsyncContextManager[Rig]]


def state_of(rig: Rig, owner: str = "demo") -> State:
    return rig.kernel.documents.state(owner)


async def changes(state: State, after: int = 0) -> list[Event]:
    return [event async for event in state.follow(after, live=False)]


@asynccontextmanager
async def limited(start: Start, **limits: int) -> AsyncIterator[State]:
    """A host with limits of its own on what a plugin may keep."""
    async with start() as rig:
        rig.kernel.documents.limits = DocumentLimits(**limits)
        yield state_of(rig)

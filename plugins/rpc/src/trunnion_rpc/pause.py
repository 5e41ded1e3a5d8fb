"""Who asks for too much is told so after a while: otherwise being refused would be a way to keep the host busy."""

from __future__ import annotations

import asyncio

from trunnion import Busy, Json

MOST_HELD = 1024
"""Refusals that wait to be told; more are told at once, for they cost memory while they wait."""


class TooMuch(Busy):
    """A refusal of what goes beyond a limit of the door.

    Args:
        text: for people.
        pause: seconds until it is told.
        retry_after: seconds after which to try again.
    """

    def __init__(self, text: str, pause: float, retry_after: int = 1) -> None:
        details: dict[str, Json] = {"retry_after": retry_after}
        super().__init__(text, details)
        self.pause = pause


class Pause:
    """Holds refusals back.

    Meanwhile the call takes one of the places that its connection has, and gRPC itself turns away what goes beyond
    these, which costs next to nothing.

    Attributes:
        held: how many wait.
    """

    def __init__(self) -> None:
        self.held = 0

    async def hold(self, refusal: TooMuch) -> None:
        """Wait, unless too many do."""
        if self.held >= MOST_HELD:
            return
        self.held += 1
        try:
            await asyncio.sleep(refusal.pause)
        finally:
            self.held -= 1

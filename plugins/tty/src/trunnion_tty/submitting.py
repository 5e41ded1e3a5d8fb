"""One wish on its way to the host: asked for until there is an answer, and not once more when nobody wants it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import msgspec

from trunnion import Invocation, Run, TrunnionError, Unavailable
from trunnion.protocol.clients import HostClient

PAUSE = 0.05
"""Seconds before a host that is gone is asked again; doubles up to one second."""

NEWEST = 200
"""How far back a run is looked for whose answer was lost."""


class GivenUp(TrunnionError):
    """The person at the terminal would not wait for the host's answer."""

    code = "cancelled"


class Submission:
    """A wish; its key makes it the same run however often it is asked for.

    Args:
        client: the connection to the host.
        wish: what is wanted, with its key.
        patience: seconds a host that is gone is waited for.
        on_gone: told, once, that the host is gone and is being waited for.
    """

    def __init__(self, client: HostClient, wish: Invocation, patience: float, on_gone: Callable[[], None]) -> None:
        self._client = client
        self._wish = wish
        self._patience = patience
        self._on_gone = on_gone
        self._unwanted = asyncio.Event()
        self._may_have_begun = False

    def give_up(self) -> None:
        """Nobody wants it any more: what is under way is waited for, but the host is not asked to begin it again."""
        self._unwanted.set()

    async def run(self) -> Run:
        """The run, once the host has said that it is on record.

        Raises:
            GivenUp: nobody wanted it any more, and it has not begun.
            TrunnionError: it was refused, or no host answered.
        """
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + self._patience, PAUSE
        while not self._unwanted.is_set():
            try:
                return await self._client.submit(self._wish, follow=True)
            except TrunnionError as error:
                if not is_gone(error) or loop.time() + pause > until:
                    raise
                self._may_have_begun = self._may_have_begun or _was_sent(error)
            if pause == PAUSE and not self._unwanted.is_set():
                self._on_gone()
            await self._pause(pause)
            pause = min(2 * pause, 1.0)
        return await self._found()

    async def _found(self) -> Run:
        """The run, if it has begun though its answer was lost; to ask for it once more might begin it.

        Raises:
            GivenUp: it has not.
            TrunnionError: the host would not say.
        """
        pause = PAUSE
        while self._may_have_begun:
            try:
                page = await self._client.query("runs.list", {"limit": NEWEST})
                break
            except TrunnionError as error:
                if not is_gone(error):
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)
        else:
            page = None
        items = page.get("items") if isinstance(page, Mapping) else None
        for item in items if isinstance(items, list) else ():
            if isinstance(item, Mapping) and item.get("idempotency_key") == self._wish.idempotency_key:
                return msgspec.convert(item, Run)
        raise GivenUp(f"{self._wish.command_id} has not begun")

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._unwanted.wait()


def is_gone(error: TrunnionError) -> bool:
    """Whether nobody answered, or somebody who is about to leave: another host may come."""
    return isinstance(error, Unavailable) or bool(error.details.get("stopping"))


def _was_sent(error: TrunnionError) -> bool:
    """Whether the host may have heard what was asked: of a line that could not be had the error says where to."""
    return isinstance(error, Unavailable) and not error.details.keys() & {"path", "url"}

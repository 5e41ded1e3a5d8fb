"""What a client is sent of the streams it follows, on its way to whoever iterates."""

from __future__ import annotations

import asyncio

from trunnion.protocol.messages import StreamData

FEED_BATCHES = 64
"""How many messages of one subscription may wait to be taken."""


class Feed:
    """Batches of one subscription on their way to whoever iterates.

    ``put`` never blocks, since answers to calls arrive on the same line. When whoever iterates is too
    far behind, the subscription is given up and taken again from where they are.
    """

    def __init__(self) -> None:
        self._batches: asyncio.Queue[StreamData | None] = asyncio.Queue()
        self.behind = False

    def put(self, data: StreamData | None) -> None:
        """One message that has come; None if the line is lost."""
        if self.behind:
            return
        self.behind = data is not None and self._batches.qsize() >= FEED_BATCHES
        self._batches.put_nowait(None if self.behind else data)

    async def get(self) -> StreamData:
        """The next message.

        Raises:
            Behind, Gone: none follows, for this reason.
        """
        data = await self._batches.get()
        if data is None:
            raise Behind if self.behind else Gone
        return data


class Behind(Exception):
    """The subscription was given up because its events were not taken."""


class Gone(Exception):
    """The line was lost."""

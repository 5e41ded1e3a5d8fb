"""What is on record, read away from the loop."""

from __future__ import annotations

from collections.abc import Sequence

from trunnion.kernel.threads import DaemonThreads, in_thread
from trunnion.model.events import Event
from trunnion.model.runs import Run
from trunnion.store.base import Store

SLICE = 1024


class History:
    """Reads committed runs and events from the store. Whoever may observe may read it: no policy is asked.

    Args:
        store: has them.
        readers: threads to read in.
    """

    def __init__(self, store: Store, readers: DaemonThreads) -> None:
        self._store = store
        self._readers = readers

    async def run(self, run_id: str) -> Run | None:
        """A run as it is on record; None where there is none, or no longer."""
        return await in_thread(self._readers, lambda: self._store.get_run(run_id))

    async def events(self, stream: str, after: int) -> Sequence[Event]:
        """The next committed events of a stream after a number, at most 1024; what is no longer kept is a gap event."""
        return await in_thread(self._readers, lambda: self._store.read_events(stream, after, SLICE))

"""What becomes of uploads without anybody asking: at a start, when they expire, when their runs are removed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import is_

import msgspec

from trunnion.kernel.reporting import Report
from trunnion.kernel.state import State
from trunnion.kernel.threads import DaemonThreads, in_thread
from trunnion.kernel.uploads import KEYS, Uploads
from trunnion.model.state import Document
from trunnion.model.uploads import UploadInfo
from trunnion.store.base import Store

PAGE = 500


class UploadUpkeep:
    """Takes uploads up at start and removes what nobody needs any more.

    Attributes:
        now: UTC in microseconds to judge ages by; the wall clock, until somebody gives one that is believed.
    """

    def __init__(
        self,
        uploads: Uploads,
        state: State,
        store: Store,
        threads: DaemonThreads,
        report: Report,
        is_live: Callable[[str], bool],
    ) -> None:
        self._uploads = uploads
        self._state = state
        self._store = store
        self._threads = threads
        self._report = report
        self._is_live = is_live
        self.now: Callable[[], int] = uploads.clock.utc

    # -- at start ---------------------------------------------------------------------------------

    async def take_up(self) -> None:
        """Know the uploads an earlier host held; files and records that have lost each other are removed."""
        files = self._uploads.files
        sizes = await in_thread(self._threads, files.sizes)
        documents = await self._documents()
        found = [msgspec.convert(document.value, UploadInfo) for document in documents]
        kept = await self._kept({run_id for info in found for run_id in info.runs})
        for document, info in zip(documents, found, strict=True):
            size = sizes.get(info.id, -1)
            if size < 0 or (info.finished and size != info.offset):
                await self._state.delete(document.key)
                self._report("uploads.lost", f"upload {info.id} ({info.name}) was removed: its file is not as it was")
            else:
                # A run that a crash kept off the record may be asked for again: its upload is there until it expires.
                runs = tuple(run_id for run_id in info.runs if run_id in kept)
                self._uploads.take_up(msgspec.structs.replace(info, offset=size, runs=runs))
        left = [name for name, size in sizes.items() if name not in self._uploads.held and size >= 0]
        for name in left:
            await in_thread(self._threads, partial(files.remove, name))

    async def _documents(self) -> list[Document]:
        found: list[Document] = []
        cursor: str | None = None
        while True:
            page = await self._state.list(KEYS, limit=PAGE, cursor=cursor)
            found += page.items
            cursor = page.next
            if cursor is None:
                return found

    # -- now and then -----------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Remove uploads that have expired and serve no run, and those whose last run was removed."""
        held, now = list(self._uploads.held.values()), self.now()
        kept = await self._kept({run_id for info in held for run_id in info.runs})
        for info in held:
            runs = tuple(run_id for run_id in info.runs if run_id in kept)
            expired = info.expires <= now
            if not runs and (info.runs or expired):
                await self._uploads.drop_if(partial(is_, info), info.id)
            elif len(runs) < len(info.runs):
                await self._uploads.put_if(info, runs)

    async def _kept(self, run_ids: set[str]) -> set[str]:
        """Those of some runs that are on record, or about to be: looked for in the order in which they move on."""
        kept = {run_id for run_id in run_ids if run_id in self._uploads.arriving or self._is_live(run_id)}
        ordered = sorted(run_ids)
        for start in range(0, len(ordered), PAGE):
            read = partial(self._store.get_runs, ordered[start : start + PAGE])
            kept |= {run.id for run in await in_thread(self._threads, read)}
        return kept

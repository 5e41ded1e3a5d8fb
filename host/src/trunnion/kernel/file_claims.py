"""The files of a run that is being accepted: judged, and kept for it from before it is on record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from trunnion.arguments import Bound, Parameters
from trunnion.kernel.file_arguments import FileArguments
from trunnion.kernel.threads import DaemonThreads, in_thread
from trunnion.kernel.uploads import Uploads
from trunnion.model.runs import Caller


class FileClaims:
    """Sees to the files that new runs name.

    Attributes:
        settled: ``FileArguments.settled``.
    """

    def __init__(self, arguments: FileArguments, uploads: Uploads, threads: DaemonThreads) -> None:
        self.settled = arguments.settled
        self._arguments = arguments
        self._uploads = uploads
        self._threads = threads

    @asynccontextmanager
    async def taken(
        self, run_id: str, parameters: Parameters, bound: Bound, caller: Caller
    ) -> AsyncIterator[Callable[[asyncio.Future[None]], None]]:
        """The files are there and may be used; uploads among them stay for as long as the run does.

        What is yielded is to be given the future that tells whether the run is on record. When the block fails,
        or the run does not get there, the claims are released.

        Raises:
            InvalidArguments: a file may not be used, or is not there.
            Busy: an upload serves too many runs.
        """
        uploads = self._arguments.uploads_in(parameters, bound)
        with self._uploads.serving(run_id, uploads) as follow:
            await in_thread(self._threads, lambda: self._arguments.located(parameters, bound, caller))
            await self._uploads.claim(run_id, uploads)
            yield follow

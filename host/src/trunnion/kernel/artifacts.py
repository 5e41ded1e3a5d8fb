"""Artifacts: files kept with a run, written and digested away from the loop."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import msgspec

from trunnion.kernel.clock import Clock
from trunnion.kernel.committer import Change, Committer
from trunnion.kernel.ids import new_id
from trunnion.kernel.live import LiveRun, Outcome
from trunnion.kernel.threads import DaemonThreads, in_thread
from trunnion.model.errors import InvalidArguments, Unavailable
from trunnion.model.events import ARTIFACT
from trunnion.model.json import encode
from trunnion.model.runs import ArtifactInfo
from trunnion.store.base import Store

CHUNK = 1 << 20


class ArtifactKeeper:
    """Keeps files with runs."""

    def __init__(self, store: Store, committer: Committer, clock: Clock, threads: DaemonThreads) -> None:
        self._store = store
        self._committer = committer
        self._clock = clock
        self._threads = threads

    async def keep(self, live: LiveRun, name: str, content: bytes | Path, media_type: str) -> ArtifactInfo:
        """Copy ``content`` to the run's artifacts; it is on record when this returns.

        Raises:
            InvalidArguments: the file cannot be read, or the run keeps nothing.
            Unavailable: the copy cannot be written, or the run ended meanwhile.
        """
        if live.log is None:
            raise InvalidArguments(f"{live.run.command_id} keeps no history (keep='none'), so no artifacts either")
        artifact_id = new_id()
        target = self._store.artifact_path(live.id, artifact_id)
        size, sha256 = await in_thread(self._threads, lambda: _copy(content, target))
        if live.phase != "running":
            await in_thread(self._threads, target.unlink)
            raise Unavailable(f"run {live.id} has ended: {name!r} is not kept with it")
        shown = live.sink.redactor.text(name)
        info = ArtifactInfo(artifact_id, live.id, shown, size, sha256, media_type, self._clock.utc())
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settled(error: Exception | None) -> None:
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)

        live.log.append(ARTIFACT, info.name, msgspec.Raw(encode(info)), by="handler")
        self._committer.change(Change(live.log, settled, artifacts=(info,)))
        await done
        return info

    async def keep_result(self, live: LiveRun, outcome: Outcome) -> Outcome:
        """Keep a result that is too large for its row as the artifact ``result.json``."""
        info = await self.keep(live, "result.json", outcome.large, "application/json")
        return Outcome({"artifact": info.id, "name": info.name, "size": info.size, "sha256": info.sha256})


def _copy(content: bytes | Path, target: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    if isinstance(content, Path) and not content.is_file():
        raise InvalidArguments(f"{content} is not a regular file, so it cannot be kept")
    try:
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
            if isinstance(content, bytes):
                out.write(content)
                return len(content), hashlib.sha256(content).hexdigest()
            with content.open("rb") as source:
                while chunk := source.read(CHUNK):
                    out.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise Unavailable(f"the artifact cannot be written to {target.parent.name}: {error.strerror}") from error
    return size, digest.hexdigest()

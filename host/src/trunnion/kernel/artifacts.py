"""Artifacts: files kept with a run, written and digested away from the loop."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterable, Iterable
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec

from trunnion.isolation.content import pieces_of
from trunnion.kernel.clock import Clock
from trunnion.kernel.committer import Committer
from trunnion.kernel.file_limits import FileLimits
from trunnion.kernel.file_writing import Allowance, Content, NewFile
from trunnion.kernel.ids import new_id
from trunnion.kernel.live import LiveRun, Outcome
from trunnion.kernel.threads import DaemonThreads, in_thread
from trunnion.model.errors import InvalidArguments, Unavailable
from trunnion.model.events import ARTIFACT
from trunnion.model.file_names import display_name
from trunnion.model.json import encode
from trunnion.model.runs import ArtifactInfo
from trunnion.store.base import Store

CHUNK = 1 << 20
LONGEST_TYPE = 127


class ArtifactKeeper:
    """Keeps files with runs."""

    def __init__(
        self, store: Store, committer: Committer, clock: Clock, threads: DaemonThreads, limits: FileLimits
    ) -> None:
        self._store = store
        self._committer = committer
        self._clock = clock
        self._threads = threads
        self._limits = limits
        self._allowances: weakref.WeakKeyDictionary[LiveRun, Allowance] = weakref.WeakKeyDictionary()

    async def keep(self, live: LiveRun, name: str, content: Content, media_type: str) -> ArtifactInfo:
        """Copy ``content`` to the run's artifacts; it is on record when this returns.

        Raises:
            InvalidArguments: the file cannot be read or is too large, or the run keeps nothing.
            Unavailable: the copy cannot be written, or the run ended meanwhile.
        """
        if live.log is None:
            raise InvalidArguments(f"{live.run.command_id} keeps no history (keep='none'), so no artifacts either")
        shown = display_name(live.sink.redactor.text(name))
        _refuse_odd_type(live.sink.redactor.text(media_type), shown)
        artifact_id = new_id()
        file = await self._new_file(live, artifact_id, f"artifact {shown!r} of run {live.id}")
        try:
            sha256 = await self._filled(file, content)
            _refuse_if_over(live, shown)
        except BaseException:
            await in_thread(self._threads, file.abandon)
            raise
        info = ArtifactInfo(artifact_id, live.id, shown, file.size, sha256, media_type, self._clock.utc())
        live.log.append(ARTIFACT, info.name, msgspec.Raw(encode(info)), by="handler")
        await self._committer.on_record(live.log, artifacts=(info,))
        return info

    async def keep_result(self, live: LiveRun, outcome: Outcome) -> Outcome:
        """Keep a result that is too large for its row as the artifact ``result.json``."""
        info = await self.keep(live, "result.json", outcome.large, "application/json")
        return Outcome({"artifact": info.id, "name": info.name, "size": info.size, "sha256": info.sha256})

    async def _new_file(self, live: LiveRun, artifact_id: str, what: str) -> NewFile:
        def made() -> NewFile:
            if live not in self._allowances:
                used = sum(kept.size for kept in self._store.artifacts_of(live.id))
                self._allowances.setdefault(live, Allowance(self._limits.max_run_artifacts, used))
            path = self._store.artifact_path(live.id, artifact_id)
            return NewFile(path, what, self._limits.max_artifact, self._allowances[live])

        return await in_thread(self._threads, made, NewFile.abandon)

    async def _filled(self, file: NewFile, content: Content) -> str:
        if isinstance(content, AsyncIterable):
            async for piece in content:
                await in_thread(self._threads, partial(file.write, piece))
        else:
            await in_thread(self._threads, lambda: _copy(content, file))
        return await in_thread(self._threads, file.finish)


def _refuse_odd_type(media_type: str, name: str) -> None:
    """Doors send it in a header."""
    if len(media_type) > LONGEST_TYPE or not (media_type.isascii() and media_type.isprintable()):
        raise InvalidArguments(f"the media type of {name!r} is no short line of plain text: {media_type[:40]!a}")


def _refuse_if_over(live: LiveRun, name: str) -> None:
    if live.phase != "running":
        raise Unavailable(f"run {live.id} has ended: {name!r} is not kept with it")


def _copy(content: bytes | Path | BinaryIO | Iterable[bytes], file: NewFile) -> None:
    for piece in pieces_of(content, CHUNK):
        file.write(piece)

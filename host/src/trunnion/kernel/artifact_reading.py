"""Reading files that are kept with runs: by whoever may see the run, as a range of bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from trunnion.access.policy import Policy
from trunnion.kernel.file_ranges import digest_of, end_of_range, read_range
from trunnion.kernel.threads import DaemonThreads, in_thread
from trunnion.model.errors import NotFound
from trunnion.model.runs import ArtifactInfo, Caller, Run
from trunnion.store.base import Store


class Artifacts:
    """Finds and reads kept files in somebody's name."""

    def __init__(self, store: Store, policy: Policy, threads: DaemonThreads) -> None:
        self._store = store
        self._policy = policy
        self._threads = threads

    async def info(self, caller: Caller, artifact_id: str) -> ArtifactInfo:
        """What is known of a kept file.

        Raises:
            NotFound: there is none, or its run may not be seen.
            Unauthenticated: what proved the caller no longer does.
        """
        info, _, _ = await in_thread(self._threads, lambda: self._found(caller, artifact_id))
        return info

    def located(self, caller: Caller, artifact_id: str) -> tuple[ArtifactInfo, Path]:
        """A kept file and where it lies; from any thread.

        Raises:
            NotFound, Unauthenticated: as ``info``.
        """
        info, path, _ = self._found(caller, artifact_id)
        return info, path

    async def read(
        self, caller: Caller, artifact_id: str, offset: int, length: int | None
    ) -> AsyncGenerator[bytes, None]:
        """Yield a range of a kept file in pieces; before each it is asked whether the caller still may.

        Raises:
            NotFound, Unauthenticated: as ``info``, later too: access was withdrawn.
            InvalidArguments: there is no such range.
            Unavailable: the file is gone or was cut short.
        """
        info, path, run = await in_thread(self._threads, lambda: self._found(caller, artifact_id))
        what = _called(info)
        end = end_of_range(offset, length, info.size, what)
        pieces = read_range(self._threads, path, offset, end, what, lambda: self._policy.require_run(run, caller))
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def digest(self, caller: Caller, artifact_id: str) -> tuple[ArtifactInfo, int, str]:
        """What is known of a kept file, and the size and sha256 it has now.

        Raises:
            NotFound, Unauthenticated: as ``info``.
            Unavailable: the file is gone or cannot be read.
        """
        info, path, _ = await in_thread(self._threads, lambda: self._found(caller, artifact_id))
        size, sha256 = await in_thread(self._threads, lambda: digest_of(path, _called(info)))
        return info, size, sha256

    def _found(self, caller: Caller, artifact_id: str) -> tuple[ArtifactInfo, Path, Run]:
        self._policy.require(caller)
        found = self._store.artifact(artifact_id)
        run = self._store.get_run(found[0].run_id) if found is not None else None
        if found is None or run is None or not self._policy.may_see_run(run, caller):
            raise NotFound(f"there is no artifact {artifact_id!r}", {"artifact": artifact_id})
        return *found, run


def _called(info: ArtifactInfo) -> str:
    return f"artifact {info.id} ({info.name})"

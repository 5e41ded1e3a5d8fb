"""Uploads: files that clients bring in pieces before a run needs them.

What has arrived is what is in the file: an upload goes on where its file ends, after a lost connection or a
``kill -9`` of the host. The record of it is a document of the host's own; it comes after its file and goes
before it, so that what a crash leaves behind is a file without a record, which the next start removes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from trunnion.access.directory import spoken_of
from trunnion.access.identity import token_of
from trunnion.access.policy import Policy
from trunnion.kernel.clock import Clock
from trunnion.kernel.file_limits import FileLimits
from trunnion.kernel.file_ranges import digest_of
from trunnion.kernel.ids import new_id
from trunnion.kernel.state import State
from trunnion.kernel.threads import DaemonThreads, in_thread
from trunnion.kernel.unbroken import Unbroken
from trunnion.kernel.upload_files import UploadFiles
from trunnion.kernel.upload_quota import UploadQuota
from trunnion.model.errors import Busy, Conflict, Forbidden, InvalidArguments, NotFound, Unavailable
from trunnion.model.file_names import display_name
from trunnion.model.json import decode, encode
from trunnion.model.runs import ROLES, Caller
from trunnion.model.uploads import UploadInfo

KEYS = "uploads/"
MOST_RUNS = 1000
"""Runs that one upload may serve at a time."""

_media_type = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,80}/[A-Za-z0-9!#$&^_.+-]{1,80}(?:; ?[\x20-\x7e]{1,80})?")


class Uploads:
    """All uploads of a host. On the loop, but for ``located``.

    Attributes:
        held: every upload there is, by id.
        files: what has arrived of them.
        arriving: runs that name one and are being accepted.
    """

    def __init__(
        self,
        folder: Path,
        *,
        state: State,
        policy: Policy,
        clock: Clock,
        threads: DaemonThreads,
        limits: FileLimits,
    ) -> None:
        self.held: dict[str, UploadInfo] = {}
        self.files = UploadFiles(folder)
        self.arriving: set[str] = set()
        self.clock = clock
        self._state = state
        self._policy = policy
        self._threads = threads
        self._limits = limits
        self._quota = UploadQuota(limits)
        self._turns: dict[str, asyncio.Lock] = {}
        self._unbroken = Unbroken()

    def _ttl(self) -> int:
        return int(self._limits.upload_ttl * 1e6)

    # -- bringing one -----------------------------------------------------------------------------

    async def open(self, caller: Caller, name: str, size: int | None, media_type: str) -> UploadInfo:
        """Begin an upload; it is on record when this returns.

        Raises:
            Forbidden: the caller may run nothing that could use it.
            InvalidArguments, Busy: it would be too large, or there are too many.
            Unavailable: nothing can be stored at the moment.
        """
        self._require_bringer(caller)
        if not _media_type.fullmatch(media_type):
            raise InvalidArguments(f"{media_type[:80]!a} is no media type such as text/csv")
        if size is not None and size < 0:
            raise InvalidArguments(f"an upload cannot have {size} bytes")
        now = self.clock.utc()
        info = UploadInfo(
            id=new_id(),
            principal=caller.principal,
            name=display_name(name),
            size=size,
            media_type=media_type,
            created=now,
            expires=now + self._ttl(),
        )
        self._quota.admit(info)
        return await self._unbroken.finished(self._begin(info))

    async def _begin(self, info: UploadInfo) -> UploadInfo:
        try:
            await in_thread(self._threads, lambda: self.files.create(info.id))
            await self._put(info)
        except BaseException:
            self._quota.forget(info)
            await in_thread(self._threads, lambda: self.files.remove(info.id))
            raise
        return info

    async def write(self, caller: Caller, upload_id: str, offset: int, chunk: bytes) -> UploadInfo:
        """Add bytes at the end.

        Args:
            caller: whose upload it is.
            upload_id: the upload.
            offset: how many the client believes to have arrived.
            chunk: the bytes.

        Raises:
            NotFound: there is no such upload of the caller's.
            Forbidden: the caller may run nothing that could use it.
            Conflict: it is elsewhere, ``details["offset"]`` says where; or it is finished.
            InvalidArguments, Busy: it would be too large; the message names the limit.
            Unavailable: the disk is full; nothing of the chunk was taken.
        """
        self._require_bringer(caller)
        self.found(caller, upload_id)
        return await self._unbroken.finished(self._write(caller, upload_id, offset, chunk))

    async def _write(self, caller: Caller, upload_id: str, offset: int, chunk: bytes) -> UploadInfo:
        async with self._turn(upload_id):
            info = self.found(caller, upload_id)
            if info.finished:
                raise Conflict(f"upload {upload_id} is finished: nothing can be added to it")
            if offset != info.offset:
                text = f"upload {upload_id} has {info.offset} bytes, so it goes on there and not at {offset}"
                raise Conflict(text, {"offset": info.offset})
            grown = msgspec.structs.replace(info, offset=offset + len(chunk))
            if info.size is not None and grown.offset > info.size:
                raise InvalidArguments(f"upload {upload_id} was announced with {info.size} bytes; this is more")
            self._quota.grow(info, grown)
            try:
                await in_thread(self._threads, lambda: self.files.append(upload_id, offset, chunk))
            except BaseException:
                self._quota.shrink(info, grown)
                raise
            self.held[upload_id] = grown
            return grown

    async def finish(self, caller: Caller, upload_id: str, sha256: str | None) -> UploadInfo:
        """Digest what has arrived; from then on it is a file argument. Finished again, it is what it is.

        Raises:
            NotFound: there is no such upload of the caller's.
            Forbidden: the caller may run nothing that could use it.
            Conflict: fewer bytes have arrived than were announced; ``details["offset"]`` says how many.
            InvalidArguments: what has arrived has another digest; the upload is dropped, for nothing added to
                it could make it right.
        """
        self._require_bringer(caller)
        self.found(caller, upload_id)
        return await self._unbroken.finished(self._finish(caller, upload_id, sha256))

    async def _finish(self, caller: Caller, upload_id: str, sha256: str | None) -> UploadInfo:
        async with self._turn(upload_id):
            info = self.found(caller, upload_id)
            if info.size not in (None, info.offset):
                text = f"upload {upload_id} has {info.offset} of {info.size} bytes: send the rest first"
                raise Conflict(text, {"offset": info.offset})
            digest = info.sha256 or await in_thread(self._threads, lambda: self._digest(info))
            if sha256 is not None and sha256.lower() != digest:
                await self._drop_now(info)
                text = f"upload {upload_id} arrived as sha256 {digest}, which is not what was sent: send it again"
                raise InvalidArguments(text, {"sha256": digest})
            if info.finished:
                return info
            expires = self.clock.utc() + self._ttl()
            return await self._put(msgspec.structs.replace(info, sha256=digest, size=info.offset, expires=expires))

    def _digest(self, info: UploadInfo) -> str:
        self.files.sync(info.id)
        size, digest = digest_of(self.files.path(info.id), f"upload {info.id}")
        if size != info.offset:
            raise Unavailable(f"upload {info.id} has {size} bytes on the disk where {info.offset} had arrived")
        return digest

    async def drop(self, caller: Caller, upload_id: str) -> None:
        """Remove an upload.

        Raises:
            NotFound: there is no such upload of the caller's.
            Forbidden: the caller may run nothing that could use it.
        """
        self._require_bringer(caller)
        self.found(caller, upload_id)
        await self._unbroken.finished(self.drop_if(lambda info: self._is_of(info, caller), upload_id))

    # -- finding ----------------------------------------------------------------------------------

    def found(self, caller: Caller, upload_id: str) -> UploadInfo:
        """An upload as it is now; from any thread.

        Raises:
            NotFound: there is none, or it is another's.
            Unauthenticated: what proved the caller no longer does.
        """
        self._policy.require(caller)
        info = self.held.get(upload_id)
        if info is None or not self._is_of(info, caller):
            raise NotFound(f"there is no upload {upload_id!r}", {"upload": upload_id})
        return info

    def of(self, caller: Caller) -> list[UploadInfo]:
        """The caller's uploads, oldest first; an admin's are everybody's."""
        self._policy.require(caller)
        return [info for _, info in sorted(self.held.items()) if self._is_of(info, caller)]

    def _is_of(self, info: UploadInfo, caller: Caller) -> bool:
        return info.principal == caller.principal or self._policy.is_admin(caller)

    def _require_bringer(self, caller: Caller) -> None:
        """Only who may run something needs uploads, and may fill the disk with them."""
        self._policy.require(caller)
        directory = self._policy.directory
        token = token_of(directory, caller)
        granted = (g.role for g in directory.grants_of(caller.principal) if spoken_of(g.on, "command"))
        roles = [self._policy.role_of(caller), *granted]
        bound = token is not None and (token.role == "viewer" or not spoken_of(token.on, "command"))
        if bound or not any(role is not None and ROLES[role] >= ROLES["operator"] for role in roles):
            raise Forbidden(f"{caller.principal} may run nothing here, so nothing can be uploaded or changed")

    # -- keeping ----------------------------------------------------------------------------------

    async def claim(self, run_id: str, upload_ids: Iterable[str]) -> None:
        """Keep uploads for a run that is about to be accepted, for as long as that is kept. Inside ``serving``.

        Raises:
            InvalidArguments: one is no longer there.
            Busy: one serves too many runs.
        """
        for upload_id in upload_ids:
            await self._unbroken.finished(self._claim(run_id, upload_id))

    @contextmanager
    def serving(self, run_id: str, upload_ids: Sequence[str]) -> Iterator[Callable[[asyncio.Future[None]], None]]:
        """While a run is accepted: claims of a run that comes to nothing are released.

        What is yielded is to be given the future that tells whether the run is on record.
        """
        self.arriving.add(run_id)

        def over(accepted: asyncio.Future[None]) -> None:
            self.arriving.discard(run_id)
            if accepted.cancelled() or accepted.exception() is not None:
                self._unbroken.start(self._release(run_id, upload_ids))

        try:
            yield lambda accepted: accepted.add_done_callback(over)
        except BaseException:
            self.arriving.discard(run_id)
            self._unbroken.start(self._release(run_id, upload_ids))
            raise

    async def _release(self, run_id: str, upload_ids: Sequence[str]) -> None:
        """In memory alone, for the store may be what failed; a start forgets runs that are not on record."""
        for upload_id in upload_ids:
            async with self._turn(upload_id):
                info = self.held.get(upload_id)
                if info is not None:
                    runs = tuple(other for other in info.runs if other != run_id)
                    self.held[upload_id] = msgspec.structs.replace(info, runs=runs)

    async def _claim(self, run_id: str, upload_id: str) -> None:
        async with self._turn(upload_id):
            info = self.held.get(upload_id)
            if info is None:
                raise InvalidArguments(f"upload {upload_id} is no longer there: send it again")
            if len(info.runs) >= MOST_RUNS:
                raise Busy(f"upload {upload_id} serves {MOST_RUNS} runs that are kept: upload the file once more")
            await self._put(msgspec.structs.replace(info, runs=(*info.runs, run_id)))

    async def put_if(self, same: UploadInfo, runs: tuple[str, ...]) -> None:
        """Note which runs an upload still serves, unless it has changed meanwhile. For upkeep."""
        async with self._turn(same.id):
            if self.held.get(same.id) is same:
                await self._put(msgspec.structs.replace(same, runs=runs))

    async def drop_if(self, condition: Callable[[UploadInfo], bool], upload_id: str) -> None:
        """Remove an upload if it is as it is thought to be when its turn comes."""
        async with self._turn(upload_id):
            info = self.held.get(upload_id)
            if info is not None and condition(info):
                await self._drop_now(info)

    async def _drop_now(self, info: UploadInfo) -> None:
        await self._state.delete(KEYS + info.id)
        del self.held[info.id]
        self._turns.pop(info.id, None)
        self._quota.forget(info)
        await in_thread(self._threads, lambda: self.files.remove(info.id))

    async def _put(self, info: UploadInfo) -> UploadInfo:
        await self._state.put(KEYS + info.id, decode(encode(info)))
        self.held[info.id] = info
        return info

    def take_up(self, info: UploadInfo) -> None:
        """Know an upload that an earlier host held. For upkeep."""
        self.held[info.id] = info
        self._quota.count(info)

    def _turn(self, upload_id: str) -> asyncio.Lock:
        return self._turns.setdefault(upload_id, asyncio.Lock())

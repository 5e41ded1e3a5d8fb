"""How much of everything uploads take, and whether there is room for more."""

from __future__ import annotations

from collections import Counter

from trunnion.kernel.file_limits import FileLimits
from trunnion.model.errors import Busy, InvalidArguments
from trunnion.model.uploads import UploadInfo


def reserved(info: UploadInfo) -> int:
    """Bytes an upload counts for: those announced, or those that have come if they are more."""
    return max(info.size or 0, info.offset)


class UploadQuota:
    """Counts uploads and their bytes, of each principal and together."""

    def __init__(self, limits: FileLimits) -> None:
        self._limits = limits
        self._uploads: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    def count(self, info: UploadInfo) -> None:
        """Count an upload in that is there."""
        self._uploads[info.principal] += 1
        self._bytes[info.principal] += reserved(info)

    def forget(self, info: UploadInfo) -> None:
        """Count one out."""
        self._uploads[info.principal] -= 1
        self._bytes[info.principal] -= reserved(info)
        if not self._uploads[info.principal]:
            del self._uploads[info.principal], self._bytes[info.principal]

    def grow(self, before: UploadInfo, after: UploadInfo) -> None:
        """Count in what came to an upload.

        Raises:
            InvalidArguments, Busy: it, or all of them, would be too large; nothing is counted.
        """
        more = reserved(after) - reserved(before)
        self._require_room(after, more)
        self._bytes[after.principal] += more

    def shrink(self, before: UploadInfo, after: UploadInfo) -> None:
        """Count out again what did not come after all."""
        self._bytes[after.principal] -= reserved(after) - reserved(before)

    def admit(self, info: UploadInfo) -> None:
        """Count a new upload in.

        Raises:
            InvalidArguments, Busy: it, or all of them, would be too large or too many; nothing is counted.
        """
        limit = self._limits.max_uploads
        if self._uploads[info.principal] >= limit:
            raise _full(f"{info.principal} has {limit} uploads", "bytes.max_uploads", limit)
        self._require_room(info, reserved(info))
        self.count(info)

    def _require_room(self, info: UploadInfo, more: int) -> None:
        limits = self._limits
        if reserved(info) > limits.max_upload:
            raise InvalidArguments(
                f"upload {info.name!r} is larger than the {limits.max_upload} bytes of bytes.max_upload",
                {"limit": limits.max_upload, "setting": "bytes.max_upload"},
            )
        if more and self._bytes[info.principal] + more > limits.max_principal_uploads:
            whose = f"the uploads of {info.principal} would have more than {limits.max_principal_uploads} bytes"
            raise _full(whose, "bytes.max_principal_uploads", limits.max_principal_uploads)
        if more and self._bytes.total() + more > limits.max_all_uploads:
            whose = f"all uploads together would have more than {limits.max_all_uploads} bytes"
            raise _full(whose, "bytes.max_all_uploads", limits.max_all_uploads)


def _full(what: str, setting: str, limit: int) -> Busy:
    return Busy(f"{what} ({setting}): drop some, or wait until they expire", {"limit": limit, "setting": setting})

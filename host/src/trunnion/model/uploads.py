"""Uploads: files that clients bring before a run needs them."""

from __future__ import annotations

import msgspec

UPLOAD = "upload:"
"""Begins a file argument that is the handle of an upload."""

ARTIFACT = "artifact:"
"""Begins a file argument that is a file kept with a run."""


class UploadInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that was brought, or is being brought.

    Attributes:
        name: shown to people; not a path.
        offset: bytes that have arrived; an interrupted upload goes on here.
        size: bytes announced, None if the client did not know.
        sha256: hex digest of the whole, ``""`` until it is finished.
        media_type: what the client said it is; never used to decide how to execute it.
        created: UTC microseconds.
        expires: UTC microseconds after which it goes, unless a run that uses it is still kept.
    """

    id: str
    principal: str
    name: str
    offset: int = 0
    size: int | None = None
    sha256: str = ""
    media_type: str = "application/octet-stream"
    created: int = 0
    expires: int = 0
    runs: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether all of it is there and digested: only then it is a file argument."""
        return bool(self.sha256)

    @property
    def handle(self) -> str:
        """What a file argument is given."""
        return UPLOAD + self.id

"""The folder ``uploads/``: one file per upload, named by its id. Everything here blocks."""

from __future__ import annotations

import os
from pathlib import Path

from trunnion.model.errors import Unavailable

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_MORE = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class UploadFiles:
    """Files of uploads, 0600 in a folder 0700; never executable.

    Args:
        root: the folder; made when the first file comes.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, upload_id: str) -> Path:
        """Where the file of an upload lies."""
        return self.root / upload_id

    def create(self, upload_id: str) -> None:
        """Make an empty file.

        Raises:
            Unavailable: it cannot be made.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path(upload_id), _NEW, 0o600))
        except OSError as error:
            raise _failed(upload_id, error) from error

    def append(self, upload_id: str, offset: int, data: bytes) -> None:
        """Write at the end of a file, all of it or nothing.

        Raises:
            Unavailable: the disk is full, or the file cannot be written.
        """
        try:
            descriptor = os.open(self.path(upload_id), _MORE)
        except OSError as error:
            raise _failed(upload_id, error) from error
        try:
            _write_all(descriptor, data, offset)
        except OSError as error:
            os.ftruncate(descriptor, offset)
            raise _failed(upload_id, error) from error
        finally:
            os.close(descriptor)

    def sync(self, upload_id: str) -> None:
        """Have the file reach the disk.

        Raises:
            Unavailable: it does not.
        """
        try:
            descriptor = os.open(self.path(upload_id), _MORE)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _failed(upload_id, error) from error

    def remove(self, upload_id: str) -> None:
        """Remove a file; none there is fine."""
        self.path(upload_id).unlink(missing_ok=True)

    def sizes(self) -> dict[str, int]:
        """Every file there is, with its bytes; what is no regular file has -1."""
        try:
            entries = list(os.scandir(self.root))
        except FileNotFoundError:
            return {}
        return {e.name: e.stat(follow_symlinks=False).st_size if _is_ours(e) else -1 for e in entries}


def _is_ours(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False)


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _failed(upload_id: str, error: OSError) -> Unavailable:
    return Unavailable(f"upload {upload_id} cannot be written: {error.strerror}")

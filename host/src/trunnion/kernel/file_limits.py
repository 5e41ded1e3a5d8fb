"""How much may be kept in files, and where local paths may lead: section ``[bytes]`` of the configuration."""

from __future__ import annotations

import msgspec

MIB = 1 << 20


class FileLimits(msgspec.Struct, kw_only=True):
    """What section ``[bytes]`` says; one object for all who go by it.

    Attributes:
        max_artifact: bytes of one file kept with a run.
        max_run_artifacts: bytes of all files kept with one run.
        max_upload: bytes of one upload.
        max_uploads: uploads one principal may have, finished or not.
        max_principal_uploads: bytes of all uploads of one principal.
        max_all_uploads: bytes of all uploads.
        upload_ttl: seconds an upload is kept, counted from its beginning and again from its end.
        roots: folders in which a path that a local caller gives must lie.
    """

    max_artifact: int = 1024 * MIB
    max_run_artifacts: int = 4096 * MIB
    max_upload: int = 1024 * MIB
    max_uploads: int = 100
    max_principal_uploads: int = 4096 * MIB
    max_all_uploads: int = 16384 * MIB
    upload_ttl: float = 86_400.0
    roots: tuple[str, ...] = ("/",)

    def take(self, other: FileLimits) -> None:
        """Be as ``other`` from now on."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(other, name))

"""What is in a backup: its members' names, and the list of them that ends it.

A backup is a tar archive, compressed as gzip. The first member is ``trunnion-backup`` and says the form's
version, the last one is ``manifest.json``; between them lie the files under the names they have in the data directory.
"""

from __future__ import annotations

import msgspec

FORMAT = 1
"""The form this version writes, and the newest it reads."""

FIRST = "trunnion-backup"
LAST = "manifest.json"
DATABASE = "db/trunnion.sqlite"
HOST_ID = "host_id"
KEY = "secret.key"
NEXT_KEY = "secret.key.next"
"""There while the key is being changed; some secrets are sealed with it already."""

CONFIG = "config-of-backup"
"""The folder for the configuration file: kept for whoever looks, never put in force."""

ARTIFACTS = "artifacts"
UPLOADS = "uploads"
TREES = ("instances", "packages", "shared", "audit")
"""Folders that are taken as they are."""

PLACES = frozenset({ARTIFACTS, UPLOADS, CONFIG, *TREES})
SINGLE = frozenset({DATABASE, HOST_ID, KEY, NEXT_KEY})

MOST_NAME = 4096


class Damaged(Exception):
    """Why a file is no backup, or not the one that was written."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: its size in bytes, digest and permission bits."""

    name: str
    size: int
    sha256: str
    mode: int


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something the backup does not have as it should be, and why."""

    name: str
    text: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The list of what is in a backup.

    Attributes:
        host_id: the host it is of, ``""`` if it had none yet.
        created: when the database was read, UTC µs.
        version: the program's.
        data_version: the database's.
        runs: runs on record, live ones included.
        has_key: whether the key of sealed secrets is in it.
        files: every file but the first and the last member.
        folders: every folder that has to be there even if it is empty.
        notes: what was left out or is not whole.
    """

    format: int
    host_id: str
    created: int
    version: str
    data_version: int
    runs: int
    has_key: bool
    files: tuple[Entry, ...]
    folders: tuple[str, ...]
    notes: tuple[Note, ...]

    @property
    def bytes(self) -> int:
        """What the files take together."""
        return sum(entry.size for entry in self.files)


def first_content(form: int = FORMAT) -> bytes:
    """The content of the first member."""
    return f"trunnion-backup {form}\n".encode("ascii")


def judge_name(name: str, *, is_folder: bool) -> None:
    """Refuse a name that does not belong in a data directory, rather than make one that does of it.

    Raises:
        Damaged: it is absolute, leads elsewhere, or is in none of the places that are kept.
    """
    parts = name.split("/")
    leads_on = any(part in ("", ".", "..") for part in parts) or "\0" in name or len(name) > MOST_NAME
    belongs = (parts[0] in PLACES and (is_folder or len(parts) > 1)) or (name in SINGLE and not is_folder)
    if leads_on or not belongs:
        raise Damaged(f"it has {name[:200]!a} in it, which has no place in a data directory")

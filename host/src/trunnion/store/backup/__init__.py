"""One file with everything a host keeps: taken while it works, put back only when every byte of it is right."""

from __future__ import annotations

from trunnion.store.backup.create import Source, back_up
from trunnion.store.backup.manifest import Manifest, Note
from trunnion.store.backup.reading import verify
from trunnion.store.backup.restore import Restored, restore

__all__ = ["Manifest", "Note", "Restored", "Source", "back_up", "restore", "verify"]

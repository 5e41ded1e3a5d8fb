"""Files that are replaced as a whole, written one after the other; for ``test_disk_names``.

``names_child.py ROOT [WITHOUT]``: WITHOUT ``sync`` nothing waits for the disk.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "host" / "store"))

from backup_kit import source_of
from store_kit import opened

from trunnion.access.key_file import make_key, write_key
from trunnion.assembly import host_id
from trunnion.config.data_dir import DataDir
from trunnion.store.backup import back_up

KEYS = 3


def main(root: Path) -> None:
    data = root / "data"
    promises = os.open(root / "promises", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def promise(*words: object) -> None:
        os.write(promises, (" ".join(map(str, words)) + "\n").encode())

    with opened("power", data) as bench:
        bench.ended()
    promise("host_id", host_id(DataDir(data), keep=True))
    for number in range(KEYS):
        key = make_key()
        write_key(data / "secret.key", key)
        promise("key", number, key.id.hex())
    backup = root / "backup"
    for number in range(2):
        manifest = back_up(source_of(data, now=number), backup, force=number > 0)
        promise("backup", number, manifest.created)


if __name__ == "__main__":
    if sys.argv[2:] == ["sync"]:
        os.fsync = lambda _: None  # type: ignore[assignment]
    main(Path(sys.argv[1]))

"""``host.backup``: everything this host keeps, in one file, while it works."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trunnion.access.policy import is_local
from trunnion.builtin.control import ConfigControl, HostControl
from trunnion.builtin.secret_commands import LOCK
from trunnion.kernel.context import Context
from trunnion.kernel.core import Kernel
from trunnion.model.commands import Command
from trunnion.model.errors import Forbidden, Unavailable
from trunnion.model.json import Json
from trunnion.store.connections import connect_reader
from trunnion.store.factory import database_path

if TYPE_CHECKING:
    from trunnion.store.backup import Manifest

SHOWN_NOTES = 100


class BackupCommand:
    """Makes backups. For admins, through local doors alone.

    They share the lane of the sealed store: a key that is changed between the reading of the database and of the key
    would leave secrets in the backup that nothing in it can open.
    """

    def __init__(self, kernel: Kernel, control: HostControl, config: ConfigControl) -> None:
        self._kernel = kernel
        self._control = control
        self._config = config

    def commands(self) -> list[Command]:
        """All of them."""
        return [
            Command.of(
                self.backup,
                console="host",
                title="Write everything that is kept to one file",
                role="admin",
                lock=LOCK,
                timeout=86_400.0,
            )
        ]

    def backup(self, ctx: Context, file: Path, *, with_key: bool = False, force: bool = False) -> dict[str, Json]:
        """Write a backup while the host works: the database as it is at one moment, and the files that go with it.

        Args:
            file: where it goes; not in the data directory.
            with_key: put the key of sealed secrets in it, so that whoever has the file can open them.
            force: replace a file that is there.
        """
        from trunnion.store.backup import Source, back_up

        if not all(is_local(source) for source in (*ctx.caller.chain, ctx.caller.source)):
            raise Forbidden("backups are written for local callers only")
        root, config = Path(str(self._control.describe()["data_dir"])), self._config.state().get("path")
        if not database_path(root).exists():
            raise Unavailable("this host keeps nothing on a disk (store.durability is memory)")
        source = Source(
            root=root,
            connect=lambda: connect_reader(database_path(root)),
            config=Path(str(config)) if config else None,
            with_key=with_key,
            version=self._kernel.identity.version,
            now=self._kernel.clock.utc(),
        )
        return shown(back_up(source, file, force=force, check=ctx.check), file)


def shown(manifest: Manifest, file: Path) -> dict[str, Json]:
    """What is told of a backup."""
    notes: list[Json] = [msgspec.to_builtins(note) for note in manifest.notes[:SHOWN_NOTES]]
    return {
        "file": str(file),
        "size": file.stat().st_size,
        "host_id": manifest.host_id,
        "created": manifest.created,
        "runs": manifest.runs,
        "files": len(manifest.files),
        "bytes": manifest.bytes,
        "has_key": manifest.has_key,
        "notes": notes,
        "more_notes": len(manifest.notes) - len(notes),
    }

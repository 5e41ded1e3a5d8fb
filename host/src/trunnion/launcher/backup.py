"""``trunnion backup``: by the running host, or straight from the data directory when there is none."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trunnion.launcher.options import Options, json_option, options_of, screen_of
from trunnion.launcher.place import Place, locate
from trunnion.launcher.screen import Screen
from trunnion.model.errors import Unavailable
from trunnion.protocol.address import is_served

if TYPE_CHECKING:
    from trunnion.model.json import Json


@click.command(help="Write everything that is kept to one file, while the host works or while there is none.")
@json_option
@click.option("--with-key", is_flag=True, help="Put the key of sealed secrets in it too.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.argument("file", type=click.Path())
@click.pass_context
def backup(context: click.Context, *, file: str, with_key: bool, force: bool) -> int:
    """``trunnion backup FILE``."""
    options, screen = options_of(context), screen_of(context)
    place, target = locate(options), Path(file).absolute()
    if is_served(place.data.socket):
        return _by_host(options, screen, target, with_key=with_key, force=force)
    value = _by_hand(place, target, with_key=with_key, force=force)
    screen.value(value) if screen.as_json else tell(place, screen, value)
    return 0


def _by_host(options: Options, screen: Screen, target: Path, *, with_key: bool, force: bool) -> int:
    from trunnion.launcher.attend import tell_result
    from trunnion.launcher.running import run_in_loop
    from trunnion.model.runs import Invocation

    args: dict[str, Json] = {"file": str(target), "with_key": with_key, "force": force}
    asked = Invocation(command_id="host.backup", args=args, idempotency_key=uuid.uuid4().hex)
    return run_in_loop(options, screen, asked, tell=partial(tell_result, partial(tell, locate(options))))


def _by_hand(place: Place, target: Path, *, with_key: bool, force: bool) -> dict[str, Json]:
    """Under the lock of the data directory, so that no host begins to write meanwhile."""
    from contextlib import ExitStack

    from trunnion._version import VERSION
    from trunnion.builtin.backup_command import shown
    from trunnion.config.data_dir import hold
    from trunnion.store.backup import Source, back_up
    from trunnion.store.database import claim_writer
    from trunnion.store.snapshot import Snapshot

    database = place.data.database
    if not database.exists():
        raise Unavailable(f"there is nothing to back up in {place.data.root} yet", {"path": str(place.data.root)})
    with ExitStack() as stack:
        stack.enter_context(hold(place.data))
        stack.callback(os.close, claim_writer(database))
        snapshot = Snapshot(database)
        stack.callback(snapshot.close)
        source = Source(
            root=place.data.root,
            connect=snapshot.connect,
            config=place.config,
            with_key=with_key,
            version=VERSION,
            now=time.time_ns() // 1000,
        )
        return shown(back_up(source, target, force=force), target)


def tell(place: Place, screen: Screen, value: Json) -> None:
    """Say what was written, what is not in it, and what that means for sealed secrets."""
    facts = value if isinstance(value, Mapping) else {}
    screen.out(f"{facts.get('file')}\n")
    screen.note(f"{facts.get('runs')} runs, {facts.get('files')} files, {facts.get('size')} bytes")
    if facts.get("has_key"):
        screen.note("the key is in it: whoever has this file can open the sealed secrets; keep it as safe as they are")
    elif (key := place.data.root / "secret.key").exists():
        screen.note(
            f"the key is not in it: unless {key} is put back as well, sealed secrets stay sealed after a restore "
            "and waiting runs that need theirs fail; keep a copy of it elsewhere, or use --with-key"
        )
    notes = facts.get("notes")
    for note in notes if isinstance(notes, list) else ():
        if isinstance(note, Mapping):
            screen.note(f"{note.get('name')}: {note.get('text')}")
    if facts.get("more_notes"):
        screen.note(f"and {facts['more_notes']} more of these; all are in the file's manifest.json")

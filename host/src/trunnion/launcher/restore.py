"""``trunnion restore``: a data directory made of a backup, checked before and after."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trunnion.launcher.options import json_option, not_empty, options_of, screen_of
from trunnion.launcher.place import locate
from trunnion.launcher.screen import Screen
from trunnion.launcher.views import moment
from trunnion.model.errors import InvalidArguments

if TYPE_CHECKING:
    from trunnion.store.backup import Manifest, Restored

MARKS = ("host_id", "host.lock", "db")
"""What a data directory has; nothing else is moved aside."""


@click.command(help="Make a data directory of a backup. All of it is verified before anything is put in place.")
@json_option
@click.option("--data-dir", type=click.Path(), callback=not_empty, help="Where to; absent or empty.")
@click.option("--force", is_flag=True, help="Move a data directory that is there to NAME.before-TIME first.")
@click.option("--new-host-id", is_flag=True, help="Make it another host than the one the backup is of.")
@click.option("--check", "only_check", is_flag=True, help="Verify the file and put nothing in place.")
@click.argument("file", type=click.Path())
@click.pass_context
def restore(
    context: click.Context, *, file: str, data_dir: str | None, force: bool, new_host_id: bool, only_check: bool
) -> int:
    """``trunnion restore FILE``."""
    from trunnion.store.backup import verify

    options, screen, source = options_of(context), screen_of(context), Path(file).absolute()
    if only_check:
        _tell_checked(screen, source, verify(source))
        return 0
    root = locate(options._replace(data_dir=data_dir) if data_dir else options).data.root
    done = _restored(source, root, force=force, new_host_id=new_host_id)
    _tell(screen, root, done, new_host_id=new_host_id)
    return 0


def _restored(source: Path, root: Path, *, force: bool, new_host_id: bool) -> Restored:
    from trunnion.config.data_dir import DataDir, hold
    from trunnion.store.backup import restore as put_back

    aside = force and root.is_dir() and any(root.iterdir())
    if aside and not any((root / mark).exists() for mark in MARKS):
        raise InvalidArguments(f"{root} is no data directory of Trunnion and is not moved aside: name another")
    # A host that is there, or that starts meanwhile, keeps its data directory.
    with hold(DataDir(root)) if aside else nullcontext():
        return put_back(source, root, aside=aside, new_host_id=new_host_id)


def _tell_checked(screen: Screen, source: Path, manifest: Manifest) -> None:
    if screen.as_json:
        screen.value({"file": str(source), "ok": True, **_facts(manifest)})
    else:
        screen.out(f"{source} is whole: {_said(manifest)}\n")
        _tell_notes(screen, manifest)


def _tell(screen: Screen, root: Path, done: Restored, *, new_host_id: bool) -> None:
    manifest = done.manifest
    if screen.as_json:
        screen.value(
            {
                "data_dir": str(root),
                "aside": str(done.aside) if done.aside is not None else None,
                "troubles": [trouble.text for trouble in done.troubles],
                **_facts(manifest),
            }
        )
        return
    screen.out(f"{root}\n")
    screen.note(f"restored {_said(manifest)}")
    if done.aside is not None:
        screen.note(f"what was there is in {done.aside}")
    if new_host_id:
        screen.note("it gets an id of its own at its first start")
    else:
        screen.note(f"it is host {manifest.host_id or 'without an id'} as before: start only one of the two")
    if not manifest.has_key:
        screen.note(f"the backup has no key: put a copy back at {root / 'secret.key'}, or set sealed secrets anew")
    _tell_notes(screen, manifest)
    for trouble in done.troubles:
        screen.note(f"PROBLEM  {trouble.text}")


def _tell_notes(screen: Screen, manifest: Manifest) -> None:
    for note in manifest.notes:
        screen.note(f"{note.name}: {note.text}")


def _said(manifest: Manifest) -> str:
    return f"{manifest.runs} runs and {len(manifest.files)} files as of {moment(manifest.created)}"


def _facts(manifest: Manifest) -> dict[str, str | int | bool]:
    return {
        "host_id": manifest.host_id,
        "created": manifest.created,
        "version": manifest.version,
        "runs": manifest.runs,
        "files": len(manifest.files),
        "bytes": manifest.bytes,
        "has_key": manifest.has_key,
    }

"""``trunnion doctor``: looks at everything a host needs; changes nothing, unless it is to mend the store."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import click

from trunnion._version import VERSION
from trunnion.access.key_file import read_key
from trunnion.config.data_dir import DataDir, holder_of
from trunnion.launcher import store_check, tallied
from trunnion.launcher.answering import silence
from trunnion.launcher.failures import exit_status
from trunnion.launcher.look import describe
from trunnion.launcher.options import Options, json_option, options_of, screen_of
from trunnion.launcher.place import Place, locate
from trunnion.model.errors import TrunnionError
from trunnion.protocol.address import is_served
from trunnion.store import open_readonly

SPARE = 256 << 20
"""Bytes of free space below which a disk counts as nearly full."""


class Finding(NamedTuple):
    """One thing looked at: what, whether it is well, and what was seen."""

    check: str
    ok: bool
    seen: str


@click.command()
@json_option
@click.option("--repair", is_flag=True, help="Mend the store first; no host may run. The database is copied before.")
@click.pass_context
def doctor(context: click.Context, *, repair: bool) -> int:
    """Look for what could be wrong: versions, data directory, key, lock, history, store, configuration, plugins."""
    options, screen = options_of(context), screen_of(context)
    if repair:
        store_check.mend(locate(options), screen)
    findings = examine(options)
    if screen.as_json:
        screen.value([finding._asdict() for finding in findings])
    for finding in findings if not screen.as_json else ():
        screen.out(f"{'ok     ' if finding.ok else 'PROBLEM'}  {finding.check}: {finding.seen}\n")
    return 0 if all(finding.ok for finding in findings) else exit_status("failed")


def examine(options: Options) -> list[Finding]:
    """Everything there is to say, in order."""
    findings = [Finding("versions", True, versions())]
    try:
        place = locate(options)
    except TrunnionError as error:
        return [*findings, Finding("configuration", False, error.message)]
    looks: tuple[Callable[[Place], Iterator[Finding]], ...] = (_data_dir, _key, _space, _lock, _history, _store)
    findings += [finding for look in looks for finding in look(place)]
    if any(finding.check == "host" and not finding.ok for finding in findings):
        return findings  # the configuration and the plugins are the host's to tell
    return [*findings, *_configuration(options, place)]


def versions() -> str:
    """Of what matters when something behaves oddly."""
    sqlite = sqlite3.sqlite_version
    return f"trunnion {VERSION}, Python {platform.python_version()}, SQLite {sqlite}, {platform.platform()}"


def _data_dir(place: Place) -> Iterator[Finding]:
    for path in (place.data.root, place.data.run, place.data.database.parent):
        if path.exists():
            problem = _problem_of(path)
            yield Finding("data directory", not problem, f"{path}: {problem or 'yours alone'}")
        elif path == place.data.root:
            yield Finding("data directory", True, f"{path}: not there yet, a host makes it at its first start")
            return


def _problem_of(path: Path) -> str:
    status = path.stat()
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to user id {status.st_uid}"
    if not os.access(path, os.W_OK):
        return "cannot be written"
    mode = stat.S_IMODE(status.st_mode)
    return f"others can look inside (mode {mode:04o}); run: chmod 700 {path}" if mode & 0o077 else ""


def _key(place: Place) -> Iterator[Finding]:
    path = place.data.root / "secret.key"
    try:
        key = read_key(path)
    except TrunnionError as error:
        yield Finding("key of secrets", False, error.message)
    else:
        yield Finding("key of secrets", True, f"{path}: yours alone" if key is not None else "none yet")


def _space(place: Place) -> Iterator[Finding]:
    folder = next(path for path in (place.data.root, *place.data.root.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    seen = f"{free >> 20} MiB at {folder}"
    if free < SPARE:
        seen += f": below {SPARE >> 20} MiB; make space, for a full disk refuses new runs"
    yield Finding("free space", free >= SPARE, seen)


def _lock(place: Place) -> Iterator[Finding]:
    holder = holder_of(place.data)
    if holder is None:
        served = is_served(place.data.socket)
        yield Finding("host", not served, "answers, but holds no lock" if served else "none is running")
    elif silent := silence(place.data):
        yield Finding("host", False, f"process {holder} holds the lock and does not answer; {silent}")
    else:
        yield Finding("host", True, f"process {holder} answers")
        yield Finding("programs", *tallied.programs(place.data))


def _history(place: Place) -> Iterator[Finding]:
    data: DataDir = place.data
    if not data.database.exists():
        yield Finding("history", True, "none yet")
        return
    try:
        store = open_readonly(data.root, lambda: time.time_ns() // 1000)
    except TrunnionError as error:
        yield Finding("history", False, error.message)
        return
    try:
        stats = store.stats()
        yield Finding("history", True, f"{stats.get('runs')} runs, {stats.get('bytes')} bytes, {stats.get('path')}")
    finally:
        store.close()


def _store(place: Place) -> Iterator[Finding]:
    for ok, seen in store_check.look(place):
        yield Finding("store", ok, seen)


def _configuration(options: Options, place: Place) -> Iterator[Finding]:
    try:
        records = describe(options._replace(strict=False)).get("plugins")
    except TrunnionError as error:
        yield Finding("configuration", False, error.message)
        return
    yield Finding("configuration", True, str(place.config) if place.config is not None else "no file, all defaults")
    for record in records if isinstance(records, list) else ():
        if isinstance(record, Mapping):
            well = record.get("state") in ("loaded", "disabled")
            seen = f"{record.get('id')} {record.get('state')} {record.get('reason') or ''}".strip()
            yield Finding("plugin", well, seen)

"""A5: a host is killed at every step of bringing older data to its version; the data is old or new, never between."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from faults_kit import Ground, until

from trunnion.store.schema import MIGRATIONS

OLD = Path(__file__).parents[1] / "host" / "store" / "version1.sql"
NEW = {"CREATE TABLE documents", 'INSERT INTO "documents"'}
OLD_VERSION, WITH_DOCUMENTS, NEW_VERSION = 1, 2, len(MIGRATIONS)
STEPS, NUMBERS = 2, 20
COPY_STEPS = 6
"""Before and after two syncs and a new name."""


class Data(NamedTuple):
    """What a database says, but for what came with the new version."""

    version: int
    has_new: bool
    old: tuple[str, ...]


def read(file: Path, scratch: Path) -> Data:
    """Read a copy, its log included, so that the evidence stays as it was."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(file.parent, scratch)
    with closing(sqlite3.connect(scratch / file.name)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        version = db.execute("PRAGMA user_version").fetchone()[0]
        dump = list(db.iterdump())
    new = [line for line in dump if any(line.startswith(mark) for mark in NEW)]
    return Data(version, bool(new), tuple(line for line in dump if line not in new))


@pytest.fixture
def old(make_ground: Callable[..., Ground], tmp_path: Path) -> Callable[[], Ground]:
    """Makes grounds with a database an older host left."""
    made = itertools.count()

    def make() -> Ground:
        ground = make_ground(f"old-{next(made)}")
        ground.database.parent.mkdir(mode=0o700, parents=True)
        ground.data.chmod(0o700)
        with closing(sqlite3.connect(ground.database)) as db:
            db.executescript(OLD.read_text())
        return ground

    return make


def dies(ground: Ground, point: str, after: int, *, without: str = "none", **env: str) -> bool:
    """Start a host that dies at the n-th step; whether it came so far."""
    host = ground.start(without=f"{without},die_at", DIE_AT=point, DIE_AFTER=str(after), **env)
    until(lambda: host.process.poll() is not None or "is up on" in host.said(), "it is up or dead")
    if host.process.poll() is not None:
        assert host.process.returncode < 0, host.said()
        return True
    assert host.stop() == 0, host.said()
    return False


def old_or_new(ground: Ground, before: Data) -> Data:
    """The law: whole at one of the versions, and what was there before is there, and kept once it is at another."""
    data = read(ground.database, ground.root / "scratch")
    assert data.old == before.old
    assert OLD_VERSION <= data.version <= NEW_VERSION
    assert data.has_new == (data.version >= WITH_DOCUMENTS)
    backup = ground.database.with_name(f"trunnion.sqlite.v{OLD_VERSION}.bak")
    if data.version > OLD_VERSION or backup.exists():
        assert read(backup, ground.root / "scratch") == before
    return data


def stride_of(rounds: int) -> int:
    """Every step at length; some of them, from one that the seed chooses, in CI."""
    return 1 if rounds > 20 else 3


def goes_on(ground: Ground, **env: str) -> None:
    """The next host is up and leaves in order."""
    host = ground.up(**env)
    assert host.stop() == 0, host.said()
    assert not list(ground.data.rglob("*.partial"))


def test_a5_killed_at_every_step_of_a_migration(
    old: Callable[[], Ground], rounds: int, figure: Callable[..., None]
) -> None:
    ground, stride = old(), stride_of(rounds)
    before, after, seen = read(ground.database, ground.root / "scratch"), ground.random.randint(1, stride), []
    while dies(ground, "migration", after):
        seen.append(old_or_new(ground, before).version)
        if stride == 1 or len(seen) == 2:
            goes_on(ground)
            whole = read(ground.database, ground.root / "scratch")
            assert (whole.version, whole.has_new) == (NEW_VERSION, True)
        ground, after = old(), after + stride
    figure("steps killed at", len(seen))
    assert seen == sorted(seen)
    assert set(seen) == set(range(OLD_VERSION, NEW_VERSION + 1)) or stride > 1


def test_a5_without_the_fault(old: Callable[[], Ground]) -> None:
    """The same data, the same start, and the point too far away to be reached."""
    ground = old()
    before = read(ground.database, ground.root / "scratch")
    assert not dies(ground, "migration", 10_000)
    data = read(ground.database, ground.root / "scratch")
    assert (data.version, data.has_new) == (NEW_VERSION, True)
    assert read(ground.database.with_name(f"trunnion.sqlite.v{OLD_VERSION}.bak"), ground.root / "scratch") == before


@pytest.mark.parametrize("defence", ["migrate_unguarded", "keep_no_copy"])
def test_a5_without_the_defence(old: Callable[[], Ground], defence: str) -> None:
    """Without one transaction for a step, or without a copy, some moment leaves what the law forbids."""
    for after in range(1, 20):
        ground = old()
        before = read(ground.database, ground.root / "scratch")
        if not dies(ground, "migration", after, without=defence):
            break
        try:
            old_or_new(ground, before)
        except (AssertionError, sqlite3.OperationalError):
            return
    raise AssertionError(f"without {defence} nothing was found")


# -- documents of a plugin ----------------------------------------------------------------------------


def numbers(ground: Ground) -> tuple[int, set[int]]:
    """The version of the plugin's documents, and the values there are."""
    scratch = ground.root / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(ground.database.parent, scratch)
    with closing(sqlite3.connect(scratch / ground.database.name)) as db:
        rows = dict(db.execute("SELECT key, value FROM documents WHERE owner = 'moving'").fetchall())
    version = json.loads(rows.pop("!version", b"0"))
    assert len(rows) == NUMBERS
    return version, {json.loads(value) for value in rows.values()}


def with_old_documents(make_ground: Callable[..., Ground]) -> Ground:
    """A data directory in which the plugin has put its documents, as its first version did."""
    ground = make_ground("documents")
    ground.only = "faults,scripts,moving"
    assert ground.up(MOVING_STEPS="0").stop() == 0
    assert numbers(ground) == (0, {1})
    return ground


def in_step(ground: Ground) -> int:
    """The law: every document has seen the same steps, and what was there before is kept."""
    version, values = numbers(ground)
    assert values == {2**version}
    copies = list(ground.data.rglob("moving.state-v0.bak.jsonl"))
    if version or copies:
        lines = [json.loads(line) for line in copies[0].read_text().splitlines()]
        assert [line["value"] for line in lines if line["key"].startswith("number/")] == [1] * NUMBERS
    return version


def kills_in_documents(
    make_ground: Callable[..., Ground], rounds: int, without: str = "none", first: int = 1
) -> tuple[int, set[int]]:
    """Kill at every step, each time on the same old data; how many steps, and the versions that were found."""
    template, after, seen = with_old_documents(make_ground), first, list[int]()
    while True:
        ground = make_ground(f"documents-{after}")
        ground.only = template.only
        shutil.copytree(template.data, ground.data, ignore=lambda *_: {"host.sock", "host.lock"})
        if not dies(ground, "documents", after, without=without, MOVING_STEPS=str(STEPS)):
            return len(seen), set(seen)
        seen.append(in_step(ground))
        if rounds > 20 or len(seen) == 2:
            goes_on(ground, MOVING_STEPS=str(STEPS))
            assert in_step(ground) == STEPS
        after += stride_of(rounds)


def test_a5_killed_at_every_step_of_a_plugins_documents(
    make_ground: Callable[..., Ground], rounds: int, figure: Callable[..., None]
) -> None:
    steps, seen = kills_in_documents(make_ground, rounds)
    figure("steps of a plugin's documents killed at", steps)
    assert seen == set(range(STEPS + 1)) or stride_of(rounds) > 1


def test_a5_without_the_defence_documents_are_out_of_step(make_ground: Callable[..., Ground]) -> None:
    """Were the documents and their version not on record together, a step would be done twice."""
    with pytest.raises(AssertionError):
        kills_in_documents(make_ground, 100, without="version_apart", first=COPY_STEPS + 1)

"""A plugin's documents go from version to version: whole steps, a copy of what was, and no step twice."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from kernel_kit import Rig, rig

from trunnion.kernel import state_migration
from trunnion.kernel.state import State
from trunnion.kernel.state_migration import MigrationView
from trunnion.model.errors import Conflict, IncompatibleData, InvalidArguments, Unavailable
from trunnion.store.base import Batch, Done

Start = Callable[..., AbstractAsyncContextManager[Rig]]
BEFORE = {"old/a": {"n": 1}, "old/b": {"n": 2}, "stays": True}
AFTER = {"new/a": {"n": 1, "unit": "m"}, "new/b": {"n": 2, "unit": "m"}, "stays": True, "total": 3}


def rename(view: MigrationView) -> None:
    for key, value in view.items("old/"):
        view.put(key.replace("old/", "new/"), value)
        view.delete(key)
        at("middle of step 1")


def add_unit(view: MigrationView) -> None:
    """Would be wrong if it were done twice."""
    at("begin of step 2")
    for key, value in view.items("new/"):
        assert "unit" not in value
        view.put(key, {**value, "unit": "m"})
    assert view.get("new/a") == {"n": 1, "unit": "m"}


def count(view: MigrationView) -> None:
    view.put("total", sum(value["n"] for _, value in view.items("new/")))


STEPS = (rename, add_unit, count)

FATAL: list[str] = []
"""Where the process is to be killed; filled in a child only."""


def at(point: str) -> None:
    if point in FATAL:
        os.kill(os.getpid(), signal.SIGKILL)


async def fill(state: State) -> None:
    for key, value in BEFORE.items():
        await state.put(key, value)


async def documents(state: State) -> dict[str, object]:
    return {document.key: document.value for document in (await state.list()).items}


def backup(rig: Rig, version: int = 0) -> Path:
    return rig.host.data.root / "db" / f"demo.state-v{version}.bak.jsonl"


@pytest.mark.parametrize("durability", ["process", "power"])
async def test_documents_are_migrated_and_a_copy_kept(start: Start, durability: str) -> None:
    async with start(durability=durability) as rig:
        state = rig.kernel.documents.state("demo")
        await fill(state)
        await state.migrate(STEPS)
        assert await documents(state) == AFTER
        lines = [json.loads(line) for line in backup(rig).read_text().splitlines()]
        assert {line["key"]: line["value"] for line in lines} == BEFORE
        assert [line["revision"] for line in lines] == [1, 2, 3]
        assert backup(rig).stat().st_mode & 0o777 == 0o600
        told = [event.data["key"] async for event in state.follow(3, live=False)]
        assert told == ["new/a", "old/a", "new/b", "old/b", "new/a", "new/b", "total"]
        backup(rig).unlink()
        await state.migrate(STEPS)
        assert await documents(state) == AFTER
        assert not backup(rig).exists()
        assert list(backup(rig).parent.glob("*.bak*")) == []


async def test_the_version_is_no_document(start: Start) -> None:
    async with start() as rig:
        state = rig.kernel.documents.state("demo")
        await state.migrate([lambda view: None] * 3)
        assert (await state.list()).items == (await state.list("!")).items == []
        assert [event async for event in state.follow(live=False)] == []
        assert rig.kernel.store.document_usage("demo") == (1, 1)
        await state.put("a", 1)
        assert state._own._usage == (1, 1)
        with pytest.raises(InvalidArguments):
            await state.get("!version")
        assert dict(MigrationView(state._own).items()) == {"a": 1}


async def test_a_new_plugin_starts_at_the_newest_version_without_a_copy(start: Start) -> None:
    async with start(durability="process") as rig:
        state = rig.kernel.documents.state("demo")
        await state.migrate([count])
        assert await documents(state) == {"total": 0}
        assert not backup(rig).exists()


async def test_newer_documents_are_refused_untouched(start: Start) -> None:
    async with start(durability="process") as rig:
        state = rig.kernel.documents.state("demo")
        await fill(state)
        await state.migrate(STEPS)
        with pytest.raises(IncompatibleData, match=r"version 3.*knows up to 2.*nothing was changed") as caught:
            await state.migrate(STEPS[:2])
        assert caught.value.details == {"owner": "demo", "version": 3, "newest": 2}
        assert await documents(state) == AFTER


async def test_a_step_that_fails_changes_nothing_and_those_before_count(start: Start) -> None:
    def fails(view: MigrationView) -> None:
        view.delete("stays")
        raise ValueError("cannot go on")

    async with start(durability="process") as rig:
        state = rig.kernel.documents.state("demo")
        await fill(state)
        with pytest.raises(ValueError, match="cannot go on"):
            await state.migrate([rename, fails])
        assert await documents(state) == {"new/a": {"n": 1}, "new/b": {"n": 2}, "stays": True}
        await state.migrate(STEPS)
        assert await documents(state) == AFTER
        assert backup(rig, 1).exists()


async def test_a_change_beside_a_step_is_not_lost(start: Start) -> None:
    """Defence: ``_step`` compares the revision before and after."""
    async with start() as rig:
        state = rig.kernel.documents.state("demo")
        await fill(state)

        def overtaken(view: MigrationView) -> None:
            rename(view)
            state.put_blocking("stays", "changed meanwhile")

        with pytest.raises(Conflict, match="migrate before they are used"):
            await state.migrate([overtaken])
        assert await documents(state) == {**BEFORE, "stays": "changed meanwhile"}


async def test_without_a_copy_nothing_is_migrated(start: Start) -> None:
    async with start(durability="process") as rig:
        state = rig.kernel.documents.state("demo")
        await fill(state)
        backup(rig).mkdir()
        with pytest.raises(Unavailable, match=r"not migrated: their backup .*state-v0"):
            await state.migrate(STEPS)
        assert await documents(state) == BEFORE
        assert list(backup(rig).parent.glob("*.partial")) == []


async def test_without_a_host_nothing_is_migrated_or_copied(start: Start) -> None:
    async with start(durability="process") as rig:
        await fill(rig.kernel.documents.state("demo"))
    async with start(durability="process", mode="readonly") as rig:
        with pytest.raises(Unavailable, match="no host is running"):
            await rig.kernel.documents.state("demo").migrate(STEPS)
        assert not backup(rig).exists()


# -- killed ---------------------------------------------------------------------------------------

POINTS = [
    "middle of the copy",
    "copy not on the disk yet",
    "copy named",
    "middle of step 1",
    "before commit 1",
    "after commit 1",
    "begin of step 2",
    "after commit 2",
    "after commit 3",
]

CHILD = """
import sys
sys.path.insert(0, {here!r})
import pathlib, test_state_migration
test_state_migration.be_killed({point!r}, pathlib.Path({data!r}), {durability!r})
"""


def dying(function: Callable[..., object], names: list[str]) -> Callable[..., object]:
    """``function`` with a point before each of its first calls."""
    left = iter(names)

    def call(*args: object) -> object:
        at(next(left, ""))
        return function(*args)

    return call


def be_killed(point: str, data: Path, durability: str) -> None:
    FATAL.append(point)
    state_migration._line = dying(state_migration._line, ["", "middle of the copy"])
    state_migration.sync_file = dying(state_migration.sync_file, ["copy not on the disk yet", "copy named"])

    async def migrate() -> None:
        async with rig(data, data=data, durability=durability) as found:
            numbers = itertools.count(1)
            commit = found.kernel.store.commit

            def counted(batch: Batch, done: Done) -> None:
                number = next(numbers) if batch.documents else 0
                at(f"before commit {number}")

                def told(error: Exception | None) -> None:
                    at(f"after commit {number}")
                    done(error)

                commit(batch, told)

            found.kernel.store.commit = counted
            await found.kernel.documents.state("demo").migrate(STEPS)

    asyncio.run(migrate())


@pytest.mark.parametrize(
    ("point", "durability"),
    [*((point, "process") for point in POINTS), ("middle of step 1", "power"), ("after commit 2", "power")],
)
async def test_killed_at_any_point_it_goes_on(start: Start, tmp_path: Path, point: str, durability: str) -> None:
    async with start(durability=durability) as rig:
        await fill(rig.kernel.documents.state("demo"))
        data = rig.host.data.root
    code = CHILD.format(here=str(Path(__file__).parent), point=point, data=str(data), durability=durability)
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stderr=subprocess.DEVNULL)
    assert await asyncio.wait_for(child.wait(), 30) == -signal.SIGKILL
    async with start(durability=durability) as rig:
        state = rig.kernel.documents.state("demo")
        version = state_migration.version_of(state._own)
        assert version == {"after commit 1": 1, "begin of step 2": 1, "after commit 3": 3}.get(
            point, 2 if point in POINTS[POINTS.index("after commit 2") :] else 0
        )
        assert backup(rig).exists() == (POINTS.index(point) >= POINTS.index("copy named"))
        await state.migrate(STEPS)
        assert await documents(state) == AFTER
        lines = [json.loads(line) for line in backup(rig).read_text().splitlines()]
        assert {line["key"]: line["value"] for line in lines} == BEFORE
        revisions = [event.seq async for event in state.follow(live=False)]
        assert revisions == list(range(1, 11)), "a step was done twice"

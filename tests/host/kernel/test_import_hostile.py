"""``runs.import`` of files that were written to do harm: lines are refused, what is kept is clean and of a size."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from kernel_kit import ANN

pytestmark = pytest.mark.anyio

SECRET = "secret-of-the-host"
JOB = {"command": "nightly.backup", "status": "done", "started": 1_700_000_000, "finished": 1_700_000_060.5}
RUN = {"id": "run-aaaaaaaa", "command_id": "a.b", "status": "failed", "created": 1_700_000_000_000_000}
EVENT = {"stream": "run/run-aaaaaaaa", "seq": 1, "ts": 1_700_000_000_000_000, "kind": "text", "text": "x\n"}


async def taken(rig, path: Path, *lines: object) -> dict:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = await rig.run("runs.import", file=str(path))
    assert run.status == "succeeded", run.error
    return run.result


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([{**JOB, "started": 1e305}], "times"),
        ([{**JOB, "started": -1e305}], "times"),
        ([{**RUN, "attempt": 10**30}], "attempt"),
        ([{**RUN, "attempt": 0}], "attempt"),
        ([RUN, {**EVENT, "ts": 10**30}], "time"),
        ([RUN, {**EVENT, "ts": -1}], "time"),
        ([RUN, {**EVENT, "text": "x" * (1 << 20) + "\n"}], "characters"),
        ([{**JOB, "u" * 5_000_000: 1}], "unknown field"),
    ],
)
async def test_a_line_beyond_all_measure_is_refused_by_its_number(start, tmp_path: Path, lines: list, why: str) -> None:
    """Defences: ``_refuse_odd``, ``check_event`` and ``_moment``, each for its own; ``_short``."""
    async with start() as rig:
        report = await taken(rig, tmp_path / "jobs", *lines, {**JOB, "id": "job-after"})
        assert (report["imported"], report["refused"]) == (1, 1)
        (refusal,) = report["refusals"]
        assert refusal["line"] == len(lines)
        assert why in refusal["message"]
        assert len(refusal["message"]) < 400


async def test_no_secret_of_the_host_comes_in_by_any_field(start, tmp_path: Path) -> None:
    """Defence: ``Importing._cleaned``."""
    error = {"code": "\x1b[2J", "message": f"{SECRET} m" * 100_000, "details": {"d": SECRET, "long": "x" * 100_000}}
    run = {
        **RUN, "error": error, "args": {"a": SECRET}, "result": SECRET, "labels": {"a": SECRET, SECRET: "b"},
        "principal": SECRET, "source": SECRET, "category": SECRET, "command_revision": SECRET,
        "parent_run_id": SECRET, "stats": {SECRET: 1},
    }  # fmt: skip
    async with start() as rig:
        rig.kernel.redactor._host.register(SECRET, owner="test")
        report = await taken(rig, tmp_path / "jobs", run, {**EVENT, "text": f"{SECRET}\n", "data": {SECRET: SECRET}})
        assert (report["imported"], report["refused"]) == (1, 0)
        found = await rig.door.get(ANN, "run-aaaaaaaa")
        shown = [found, *[(event.text, event.data) for event in await rig.events(found)]]
        assert SECRET not in repr(shown)
        assert found.error.code == "failed"
        assert len(repr(found)) < 100_000


async def test_what_was_imported_is_history_and_nothing_else(start, tmp_path: Path) -> None:
    """It cannot be stopped, and a command that is not there is not run by repeating it."""
    async with start() as rig:
        await taken(rig, tmp_path / "jobs", RUN)
        for command in ("runs.cancel", "runs.rerun"):
            ended = await rig.run(command, run_id=RUN["id"])
            found = await rig.door.get(ANN, RUN["id"])
            assert (found.status, found.cancel_requested_at) == ("failed", None)
            assert ended.status == "failed" or ended.result["status"] == "failed"


async def test_two_who_import_the_same_at_once(start, tmp_path: Path) -> None:
    """Defence: the lock of the command, whatever ``executor.default_lock`` is."""
    async with start(default_lock="") as rig:
        lines = [{**JOB, "id": f"job-{number:05}"} for number in range(300)]
        path = tmp_path / "jobs"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        runs = await asyncio.gather(*[rig.run("runs.import", file=str(path)) for _ in range(4)])
        assert [run.status for run in runs] == ["succeeded"] * 4
        assert sum(run.result["imported"] for run in runs) == 300

"""``runs.import``: what comes from elsewhere is kept as it was told, belongs to who brought it, and gives no rights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_kit import ANN, cmd

from trunnion.builtin import import_reading, imported_forms
from trunnion.builtin.imported_forms import log_blocks, read_line
from trunnion.kernel.context import Context
from trunnion.model.errors import Forbidden, InvalidArguments, NotFound
from trunnion.model.events import run_stream
from trunnion.model.runs import Caller
from trunnion.store.base import DiskFull

pytestmark = pytest.mark.anyio

BOB = Caller("bob", "cli", "operator")
JOB = {"command": "nightly.backup", "status": "done", "started": 1_700_000_000, "finished": 1_700_000_060.5}


def jobs(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


async def taken(rig, path: Path, **args: object) -> dict:
    run = await rig.run("runs.import", file=str(path), **args)
    assert run.status == "succeeded", run.error
    return run.result


async def exported(rig, run_id: str) -> str:
    return (await rig.door.query(ANN, "runs.export", {"run_id": run_id}))["text"]


async def say(ctx: Context, n: int = 3) -> dict[str, int]:
    for number in range(n):
        ctx.echo(f"line {number}")
    ctx.log("done", level="warning")
    return {"n": n}


async def fail() -> None:
    raise ValueError("broken on purpose")


async def listed(rig) -> list[dict]:
    page = await rig.door.query(ANN, "runs.list", {"source": "import", "limit": 1000})
    return page["items"]


# -- our own export --------------------------------------------------------------------------------


async def test_an_export_comes_back_as_it_was(start, tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    async with start(cmd(say), cmd(fail), data=tmp_path / "one", durability="process") as rig:
        runs = [await rig.run("t.say"), await rig.run("t.fail"), await rig.run("t.say", n=0)]
        texts = [await exported(rig, run.id) for run in runs]
        path.write_text("".join(texts))
        events = [await rig.events(run) for run in runs]
    async with start(data=tmp_path / "two", durability="process") as rig:
        report = await taken(rig, path, origin="one")
        assert (report["imported"], report["skipped"], report["refused"], report["ids"]) == (3, 0, 0, {})
        for run, before in zip(runs, events, strict=True):
            found = await rig.door.get(ANN, run.id)
            assert (found.status, found.args, found.result, found.error) == (
                run.status,
                run.args,
                run.result,
                run.error,
            )
            assert (found.created, found.started, found.finished) == (run.created, run.started, run.finished)
            assert (found.source, found.principal, found.decision) == ("import", "ann", "imported")
            assert found.labels == {
                "imported": "one", "imported.id": run.id, "imported.principal": "ann", "imported.source": "cli"
            }  # fmt: skip
            after = await rig.check_end(found)
            assert [(e.seq, e.kind, e.text, e.data, e.ts) for e in after] == [
                (e.seq, e.kind, e.text, e.data, e.ts) for e in before
            ]
        again = await taken(rig, path, origin="one")
        assert (again["imported"], again["skipped"]) == (0, 3)
        rig.assert_idle()


async def test_a_host_s_own_export_adds_nothing(start, tmp_path: Path) -> None:
    async with start(cmd(say), durability="process") as rig:
        run = await rig.run("t.say")
        path = tmp_path / "own.jsonl"
        path.write_text(await exported(rig, run.id))
        assert (await taken(rig, path))["skipped"] == 1


async def test_an_id_that_is_taken_is_changed_once(start, tmp_path: Path) -> None:
    async with start(cmd(say)) as rig:
        run = await rig.run("t.say")
        other = {**JOB, "id": run.id}
        report = await taken(rig, jobs(tmp_path / "a", other, {**other, "status": "failed"}))
        assert report["imported"] == 2
        assert report["ids"][run.id] != run.id
        assert (await rig.door.get(ANN, run.id)).source == "cli"
        assert (await taken(rig, tmp_path / "a"))["skipped"] == 2
        assert {item["labels"]["imported.id"] for item in await listed(rig)} == {run.id}


# -- jobs of other programs ------------------------------------------------------------------------


async def test_jobs_of_another_program(start, tmp_path: Path) -> None:
    full = {
        **JOB, "id": "job-4711-a", "name": "", "args": {"to": "tape"}, "result": [1, 2], "principal": "root",
        "source": "cron", "labels": {"team": "ops"}, "log": ["first", "second"],
    }  # fmt: skip
    bad = {"name": "Read Temp!", "status": "Timeout", "finished": "2023-11-14T22:14:20+00:00", "error": "too slow"}
    async with start(durability="process") as rig:
        report = await taken(rig, jobs(tmp_path / "jobs", full, bad), origin="cron")
        assert (report["imported"], report["refused"]) == (2, 0)
        found = await rig.door.get(ANN, "job-4711-a")
        assert (found.command_id, found.status, found.created, found.finished) == (
            "nightly.backup", "succeeded", 1_700_000_000_000_000, 1_700_000_060_500_000
        )  # fmt: skip
        assert (found.args, found.result, found.labels["team"]) == ({"to": "tape"}, [1, 2], "ops")
        assert await rig.texts(found) == "first\nsecond\n"
        (other,) = [item for item in await listed(rig) if item["id"] != found.id]
        assert (other["command_id"], other["status"], other["error"]["code"]) == (
            "read-temp", "timed_out", "deadline_exceeded"
        )  # fmt: skip
        assert (await taken(rig, tmp_path / "jobs", origin="cron"))["skipped"] == 2


async def test_a_name_in_a_file_gives_nobody_anything(start, tmp_path: Path) -> None:
    """Defence: ``_owned``; the principal of a file would see what its runs say."""
    async with start() as rig:
        await taken(rig, jobs(tmp_path / "a", {**JOB, "id": "job-of-bob", "principal": "bob"}))
        with pytest.raises(NotFound):
            await rig.door.get(BOB, "job-of-bob")
        assert (await rig.door.get(ANN, "job-of-bob")).labels["imported.principal"] == "bob"


async def test_only_admins_import(start, tmp_path: Path) -> None:
    async with start() as rig:
        with pytest.raises(Forbidden):
            await rig.run("runs.import", BOB, file=str(jobs(tmp_path / "a", JOB)))


async def test_secrets_of_this_host_are_cut_out(start, tmp_path: Path) -> None:
    canary = "canary-4c1b77aa"
    async with start() as rig:
        rig.kernel.redaction.register(canary, owner="test")
        job = {**JOB, "id": "job-with-secret", "args": {"x": canary}, "log": f"it is {canary}", "result": canary}
        await taken(rig, jobs(tmp_path / "a", job))
        assert canary not in await exported(rig, "job-with-secret")


async def test_what_is_past_retention_is_told(start, tmp_path: Path) -> None:
    async with start() as rig:
        now = rig.kernel.clock.utc() / 1e6
        young = {**JOB, "started": now - 60, "finished": now - 30}
        report = await taken(rig, jobs(tmp_path / "a", JOB, young))
        assert (report["imported"], report["past_retention"]) == (2, 1)


# -- what is refused -------------------------------------------------------------------------------

RUN = {"id": "run-12345", "command_id": "a.b", "status": "succeeded", "created": 10, "finished": 20, "principal": "x"}
EVENT = {"stream": "run/run-12345", "seq": 1, "ts": 11, "kind": "log", "text": "x"}
OTHER = json.dumps({**JOB, "id": "job-after"})
HOSTILE = [
    ("[1]", "object"),
    ("{", "truncated"),
    ('{"command": "a.b", "command": "c.d", "status": "ok"}', "twice"),
    ("[" * 5000 + "]" * 5000, "deep"),
    ('{"command": "a.b", "status": "ok", "finished": 1e999}', ""),
    ('{"command": "a.b", "status": "ok", "finished": NaN}', ""),
    ({**JOB, "status": "running"}, "no end of a run"),
    ({**RUN, "status": "pending"}, "no end of a run"),
    ({**JOB, "surprise": 1}, "surprise"),
    ({**JOB, "command": "../../etc"}, "no name"),
    ({**JOB, "finished": 1}, "order"),
    ({**JOB, "finished": 99_999_999_999}, "past"),
    ({**JOB, "finished": 1_700_000_060_500}, "not milliseconds"),
    ({"status": "ok", "finished": 1_700_000_000}, "no command, or name"),
    ({**JOB, "finished": "yesterday"}, "no time"),
    ({"command": "a.b", "status": "ok"}, "no time"),
    ({**JOB, "args": {"x": "y" * imported_forms.LARGEST_RESULT}}, "arguments"),
    ({**JOB, "labels": {f"{n}": "" for n in range(100)}}, "labels"),
    ({**RUN, "id": "../../up"}, "cannot be the id"),
    ({**RUN, "id": ".hidden-run"}, "cannot be the id"),
    ({**RUN, "created": 30}, "order"),
    (EVENT, "no run stands before it"),
]


@pytest.mark.parametrize(("name", "why"), [("nowhere", "No such file"), (".", "Is a directory")])
async def test_a_file_that_cannot_be_read_is_named(start, tmp_path: Path, name: str, why: str) -> None:
    async with start() as rig:
        run = await rig.run("runs.import", file=str(tmp_path / name))
        assert (run.status, run.error.code) == ("failed", "invalid_arguments")
        assert str(tmp_path / name) in run.error.message
        assert why in run.error.message


@pytest.mark.parametrize(("line", "message"), HOSTILE)
async def test_a_line_is_refused_by_its_number(start, tmp_path: Path, line: object, message: str) -> None:
    """And the lines around it are taken."""
    async with start() as rig:
        report = await taken(rig, jobs(tmp_path / "a", JOB, line, OTHER))
        assert (report["imported"], report["refused"]) == (2, 1)
        (refused,) = report["refusals"]
        assert refused["line"] == 2
        assert message in refused["message"]


@pytest.mark.parametrize(
    ("events", "at"),
    [
        ([{**EVENT, "stream": "run/other-run"}], 2),
        ([{**EVENT, "stream": "host"}], 2),
        ([EVENT, EVENT], 3),
        ([{**EVENT, "kind": "a\nb"}], 2),
        ([{**EVENT, "kind": "state", "data": {"status": "failed"}}], 2),
        ([{**EVENT, "kind": "state", "data": {"status": "succeeded"}}, {**EVENT, "seq": 2}], 3),
    ],
)
async def test_with_one_event_the_whole_run_is_refused(start, tmp_path: Path, events: list, at: int) -> None:
    async with start() as rig:
        report = await taken(rig, jobs(tmp_path / "a", RUN, *events, {**EVENT, "seq": 9}, OTHER))
        assert [refused["line"] for refused in report["refusals"]] == [at]
        assert [item["id"] for item in await listed(rig)] == ["job-after"]


async def test_a_line_without_end_takes_no_memory(start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_reading, "LONGEST_LINE", 1000)
    async with start() as rig:
        report = await taken(rig, jobs(tmp_path / "a", JOB, "x" * 100_000, OTHER))
        assert (report["imported"], report["refusals"][0]["line"]) == (2, 2)


async def test_a_run_is_whole_or_not_there(start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_reading, "LARGEST_RUN", 2000)
    events = [{**EVENT, "seq": seq, "text": "y" * 300} for seq in range(1, 10)]
    async with start() as rig:
        report = await taken(rig, jobs(tmp_path / "a", RUN, *events, OTHER))
        assert (report["imported"], report["refused"]) == (1, 1)


async def test_a_full_disk_says_how_far_it_came(start, tmp_path: Path) -> None:
    """Defence: each batch is one commit. Imported again with space, what is there is skipped."""
    lines = [{**JOB, "id": f"job-number-{n}"} for n in range(250)]
    async with start(durability="process") as rig:
        store, really, left = rig.kernel.store, rig.kernel.store.commit, iter([True])

        def commit(batch, done) -> None:
            if len(batch.finishes) > 5 and not next(left, False):
                done(DiskFull("no space"))
            else:
                really(batch, done)

        store.commit = commit
        run = await rig.run("runs.import", file=str(jobs(tmp_path / "a", *lines)))
        assert (run.status, run.error.code) == ("failed", "unavailable")
        assert "100 runs were imported" in run.error.message
        store.commit = really
        report = await taken(rig, tmp_path / "a")
        assert (report["imported"], report["skipped"]) == (150, 100)
        assert run_stream("job-number-0") not in rig.kernel.log.logs


objects = st.dictionaries(st.text(max_size=9), st.integers() | st.text()).map(json.dumps)


@given(st.binary(max_size=200) | objects.map(str.encode))
@settings(max_examples=200, deadline=None)
def test_any_line_is_something_or_refused(data: bytes) -> None:
    try:
        line = read_line(data)
        imported_forms.run_of(line, 10**16)  # type: ignore[arg-type]
    except (InvalidArguments, AttributeError) as error:
        assert isinstance(error, InvalidArguments) or isinstance(line, imported_forms.Line)


@given(st.text(max_size=2000), st.integers(1, 50))
def test_a_log_is_cut_into_blocks_and_nothing_is_lost(text: str, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imported_forms, "BLOCK", block)
        blocks = log_blocks(text)
    assert "".join(blocks) == text
    assert all(0 < len(each) <= block for each in blocks)

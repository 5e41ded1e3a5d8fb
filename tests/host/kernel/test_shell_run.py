"""``shell.run``: one line for the system's shell, as a run; for the owner at this machine, whoever else asks."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from kernel_kit import ANN, FakeClock, Rig, cmd, until

from trunnion import Command, InvalidArguments
from trunnion.access.directory import Directory
from trunnion.builtin import shell_command
from trunnion.builtin.shell_command import LONGEST, SHELL, spawn_of
from trunnion.model.access import Exposure, Principal
from trunnion.model.errors import Forbidden, NotFound, Unavailable
from trunnion.model.runs import Caller
from trunnion.process import Process

WEB = frozenset({"web"})


@pytest.fixture(autouse=True)
def sh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/sh")


def processes_of(run_id: str) -> list[int]:
    """Whatever was started for a run: all of it has the run's id in its environment."""
    mark, found = f"TRUNNION_RUN_ID={run_id}".encode(), []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


async def said(rig: Rig, line: str, **more: object):
    run = await rig.ended(await rig.ask(command_id="shell.run", args={"line": line}, **more))
    return run, await rig.texts(run)


# -- what it does ---------------------------------------------------------------------------------


async def test_a_line_is_a_run_with_its_output_and_its_end(start) -> None:
    async with start() as rig:
        run, _ = await said(rig, "echo a b | tr a c; cat; echo $TRUNNION_COMMAND; echo oops >&2")
        assert (run.status, run.result["exit_code"], run.args) == ("succeeded", 0, {"line": run.args["line"]})
        texts = [(e.data["channel"], e.level, e.text) for e in await rig.events(run) if e.kind == "text"]
        assert "".join(text for *how, text in texts if how == ["stdout", "info"]) == "c b\nshell.run\n"
        assert "".join(text for *how, text in texts if how == ["stderr", "warning"]) == "oops\n"
        assert (run.command_id, run.principal, run.source) == ("shell.run", "ann", "cli")


@pytest.mark.parametrize(
    ("line", "message", "code"),
    [
        ("echo early >&2; echo late >&2; exit 3", "sh exited with status 3: late", 3),
        ("kill -TERM $$", "sh was ended by SIGTERM", None),
        ("no-such-program-here", "sh exited with status 127", 127),
        ("if", "sh exited with status 2", 2),
    ],
)
async def test_another_status_than_0_fails_the_run(start, line, message, code) -> None:
    async with start() as rig:
        run, _ = await said(rig, line)
    assert (run.status, run.error.code, run.error.details["exit_code"]) == ("failed", "failed", code)
    assert run.error.message.startswith(message)


async def test_words_for_the_shell_may_come_by_a_command_line(start) -> None:
    async with start() as rig:
        one = await rig.ended(await rig.ask(line="shell.run 'echo \"$((1 + 1))\"'"))
        assert await rig.texts(one) == "2\n"
        with pytest.raises(InvalidArguments):
            await rig.ask(line="shell.run echo two words")


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize("line", ["-s || echo no option", "+x || echo no option", "-- || echo no option"])
async def test_no_line_is_an_option_of_the_shell(start, monkeypatch, shell, line) -> None:
    if not Path(shell).exists():
        pytest.skip(f"there is no {shell} here")
    monkeypatch.setenv("SHELL", shell)
    async with start() as rig:
        run = await rig.ended(await rig.ask(command_id="shell.run", argv=("--", line)))
        assert (run.status, run.args) == ("succeeded", {"line": line})
        assert "no option\n" in await rig.texts(run)


async def test_the_shell_is_the_hosts_own_and_sees_little_of_the_host(start, tmp_path, monkeypatch) -> None:
    shell = tmp_path / "myshell"
    shell.write_text('#!/bin/sh\nprintf "%s|" "$@"; env\n')
    shell.chmod(0o755)
    monkeypatch.setenv("SHELL", str(shell))
    monkeypatch.setenv("CANARY_OF_THE_HOST", "sings")
    async with start() as rig:
        _, text = await said(rig, "a line; with 'all' of it")
    assert text.startswith("-c|a line; with 'all' of it|")
    names = {line.partition("=")[0] for line in text.partition("it|")[2].splitlines()}
    assert {"SHELL", "PATH", "TRUNNION_RUN_ID"} <= names
    assert "CANARY_OF_THE_HOST" not in names
    assert f"SHELL={shell}\n" in text


@pytest.mark.parametrize("named", [None, "", "zsh", "../sh"])
def test_without_a_shell_by_its_path_it_is_sh(named) -> None:
    spawn = spawn_of("x", "/", {} if named is None else {"SHELL": named})
    assert (spawn.argv, spawn.env, spawn.stdin) == ((SHELL, "-c", "x"), {"SHELL": SHELL}, "null")


@pytest.mark.parametrize("line", ["", " ", "\n\t", "a\0b", "x" * (LONGEST + 1)])
async def test_a_line_that_is_none_is_refused_before_anything_runs(start, line) -> None:
    async with start() as rig:
        with pytest.raises(InvalidArguments):
            await rig.submit("shell.run", line=line)
        with pytest.raises(InvalidArguments):
            await rig.submit("shell.run")
        assert (await rig.door.query(ANN, "runs.list"))["items"] == []


async def test_the_longest_line_there_may_be_runs(start) -> None:
    """In the widest characters; the kernel takes 128 KiB for one word."""
    async with start() as rig:
        end = "' | wc -c"
        line = "printf %s '".ljust(LONGEST - len(end), "\U0001f980") + end
        run, text = await said(rig, line)
    assert run.status == "succeeded", run.error
    assert int(text) == 4 * (LONGEST - len("printf %s '" + end))


async def test_lines_run_side_by_side(start, tmp_path) -> None:
    async with start() as rig:
        waits = f"echo up; until [ -e {tmp_path}/go ]; do sleep 0.02; done"
        first = await rig.submit("shell.run", line=waits)
        second = await rig.submit("shell.run", line=f"touch {tmp_path}/go")
        assert (await rig.ended(second)).status == (await rig.ended(first)).status == "succeeded"


async def test_cancelled_it_ends_with_all_it_started(start, monkeypatch) -> None:
    """Grandchildren too, those in a session of their own and those that ignore being asked."""
    monkeypatch.setattr(shell_command, "STOP_GRACE", 0.2)
    async with start(cancel_grace=30) as rig:
        stubborn = "trap '' TERM; setsid sleep 300 & sh -c 'sleep 300 & sleep 300' & echo up; while :; do sleep 1; done"
        run = await rig.submit("shell.run", line=stubborn)
        await until(lambda: len(processes_of(run.id)) >= 5)
        await rig.door.cancel(ANN, run.id)
        ended = await rig.ended(run)
        assert (ended.status, processes_of(run.id)) == ("cancelled", [])
        steps = [e.data["name"] for e in await rig.events(run) if e.text.startswith("stopping")]
        assert steps == ["terminate", "kill"]


async def test_cancelled_while_it_starts_it_is_stopped_before_the_run_ends(start, monkeypatch, tmp_path) -> None:
    """The program runs, but the host has not heard so yet."""
    monkeypatch.setattr(shell_command, "STOP_GRACE", 0.2)
    heard, started = asyncio.Event(), Process.started

    async def late(process: Process) -> None:
        await started(process)
        await heard.wait()

    monkeypatch.setattr(Process, "started", late)
    async with start(cancel_grace=30) as rig:
        run = await rig.submit("shell.run", line=f"trap '' TERM; touch {tmp_path}/up; sleep 300; sleep 300")
        await until((tmp_path / "up").exists)
        await rig.door.cancel(ANN, run.id)
        assert rig.phase(run) == "running"
        heard.set()
        ended = await rig.ended(run)
        assert (ended.status, processes_of(run.id)) == ("cancelled", [])
        steps = [e.data["name"] for e in await rig.events(run) if e.text.startswith("stopping")]
        assert steps == ["terminate", "kill"]


async def test_what_cannot_be_started_is_cancelled_all_the_same(start, monkeypatch) -> None:
    tried, heard = asyncio.Event(), asyncio.Event()

    async def refuse(process: Process) -> None:
        tried.set()
        await heard.wait()
        raise Unavailable("no room for another process")

    monkeypatch.setattr(Process, "started", refuse)
    async with start(cancel_grace=30) as rig:
        run = await rig.submit("shell.run", line="true")
        await asyncio.wait_for(tried.wait(), 10)
        await rig.door.cancel(ANN, run.id)
        heard.set()
        assert (await rig.ended(run)).status == "cancelled"


async def test_what_it_leaves_in_the_background_ends_with_it(start) -> None:
    async with start() as rig:
        run, text = await said(rig, "setsid sleep 300 & echo done")
        assert (run.status, text, processes_of(run.id)) == ("succeeded", "done\n", [])
        assert run.result["killed"] >= 1


async def test_what_the_host_keeps_from_sight_is_cut(start) -> None:
    async with start() as rig:
        rig.kernel.redaction.register("hunter2-canary", owner="t")
        run, text = await said(rig, "echo my hunter2-canary")
        assert text == "my •••\n"
        assert "canary" not in json.dumps([run.args, [str(e) for e in await rig.events(run)]])


# -- where it runs --------------------------------------------------------------------------------


async def test_it_runs_where_the_caller_is(start, tmp_path) -> None:
    here = tmp_path / "here is"
    here.mkdir()
    async with start() as rig:
        run, text = await said(rig, "pwd", cwd=str(here))
        assert (text, run.cwd) == (f"{here}\n", str(here))
        _, text = await said(rig, "pwd")
        assert text == f"{Path.cwd()}\n"


async def test_a_folder_that_is_gone_is_said_and_nothing_runs(start, tmp_path) -> None:
    """Somewhere else the same line may do something else."""
    gone, canary = tmp_path / "gone", tmp_path / "canary"
    async with start() as rig:
        for folder, text in ((gone, f"the folder you are in, {gone}, cannot be entered"), ("rel", "an absolute path")):
            run, _ = await said(rig, f"touch {canary}", cwd=str(folder))
            assert run.status == "failed"
            assert text in run.error.message
    assert not canary.exists()


async def test_where_the_host_itself_has_lost_its_folder_it_is_the_data_directory(start, tmp_path, monkeypatch) -> None:
    lost = tmp_path / "lost"
    lost.mkdir()
    async with start() as rig:
        monkeypatch.chdir(lost)
        lost.rmdir()
        try:
            _, text = await said(rig, "pwd")
        finally:
            monkeypatch.undo()
        assert text == f"{rig.host.data.root}\n"


async def test_a_command_that_is_run_there_hands_the_folder_on(start, tmp_path) -> None:
    """A console's ``on_miss`` say. To commands that are not local nobody says it, and no record keeps it."""

    async def miss(ctx, line: str) -> object:
        handle = await ctx.spawn("shell.run", detach=True, line=line)
        await ctx.invoke("shell.run", line=line)
        await handle.wait()
        return [ctx.run.cwd]

    async with start(cmd(miss)) as rig:
        run = await rig.ended(
            await rig.ask(command_id="t.miss", args={"line": f"pwd >> {tmp_path}/out"}, cwd=str(tmp_path))
        )
        assert (run.result, run.cwd) == ([None], None)
    assert (tmp_path / "out").read_text() == f"{tmp_path}\n" * 2


async def test_repeated_it_runs_where_it_ran(start, tmp_path) -> None:
    async with start() as rig:
        first, _ = await said(rig, "pwd", cwd=str(tmp_path))
        again = await rig.ended(await rig.ask(command_id="runs.rerun", argv=(first.id,), cwd="/"))
        assert await rig.texts(await rig.ended(again.result["id"])) == f"{tmp_path}\n"


async def test_what_waits_over_a_restart_runs_where_it_was_asked_for(start, tmp_path) -> None:
    """And what it runs in its turn."""

    async def note(ctx) -> object:
        await ctx.invoke("shell.run", line=f"pwd >> {tmp_path}/nested")
        return ctx.run.cwd

    clock, commands = FakeClock(), [cmd(note, local=True)]
    async with start(*commands, durability="process", clock=clock) as rig:
        later = {"not_before": clock.utc() + 3_600_000_000, "cwd": str(tmp_path)}
        run = await rig.ask(command_id="shell.run", args={"line": "pwd"}, **later)
        other = await rig.ask(command_id="t.note", **later)
        assert run.status == other.status == "pending"
    async with start(*commands, durability="process", clock=clock) as rig:
        clock.advance(3600)
        ended = await rig.ended(run.id)
        assert (await rig.texts(ended), ended.cwd) == (f"{tmp_path}\n", str(tmp_path))
        assert (await rig.ended(other.id)).result == str(tmp_path)
    assert (tmp_path / "nested").read_text() == f"{tmp_path}\n"


async def test_a_folder_with_a_secret_in_its_name_is_not_put_on_record(start, tmp_path) -> None:
    async with start() as rig:
        rig.kernel.redaction.register("hunter2-canary", owner="t")
        with pytest.raises(InvalidArguments, match="the folder you are in has a secret"):
            await said(rig, "pwd", cwd=str(tmp_path / "hunter2-canary"))


# -- for whom -------------------------------------------------------------------------------------


def test_what_is_local_cannot_be_declared_exposed() -> None:
    with pytest.raises(ValueError, match="is local, so it cannot be exposed to web"):
        Command.of(test_what_is_local_cannot_be_declared_exposed, name="x", local=True, expose=WEB)


async def test_it_is_for_admins(start) -> None:
    async with start() as rig:
        for role in ("viewer", "operator"):
            with pytest.raises(Forbidden):
                await rig.submit("shell.run", Caller("bob", "cli", role), line="true")


async def test_meta_says_that_it_is_local_to_those_who_are(start) -> None:
    everything = Exposure(expose={"*": WEB, "shell.run": WEB})
    async with start() as rig:
        rig.kernel.policy.replace(Directory([Principal(name="bob", role="admin")], exposure=everything))
        seen = {c["id"]: c for c in json.loads(rig.door.meta(ANN).body)["commands"]}
        assert (seen["shell.run"]["local"], seen["shell.run"]["effect"]) == (True, "destroy")
        assert seen["host.drain"]["local"] is False
        bob = Caller("bob", "web", "admin", credential="login")
        remote = {c["id"] for c in json.loads(rig.host.door("web").meta(bob).body)["commands"]}
        assert "host.drain" in remote
        assert "shell.run" not in remote
        with pytest.raises(NotFound):
            await rig.host.door("web").complete(bob, "shell.run", [], "")


async def test_explain_says_why_and_where_to_type_it(start) -> None:
    async with start() as rig:
        rig.kernel.policy.replace(Directory([Principal(name="bob", role="admin")]))
        own = await rig.door.query(ANN, "host.explain", {"target": "shell.run", "source": "tty"})
        assert own["allowed"]
        bob = await rig.door.query(ANN, "host.explain", {"target": "shell.run", "principal": "bob", "source": "web"})
        assert (bob["allowed"], bob["code"], bob["remedy"]) == (False, "not_found", ["trunnion run shell.run"])
        assert "it is local: for the owner of the data directory alone" in bob["rule"]


async def test_a_configuration_that_would_open_it_is_doubted(start) -> None:
    settings = {"access.expose": '{ "shell.run" = ["web"], "*" = ["web"] }'}
    async with start(settings=settings) as rig:
        doubts = [e.text for e in await rig.host_events() if e.data.get("code") == "config.doubtful"]
        assert doubts == ['access.expose."shell.run": the command is local, so this opens nothing']


async def test_many_at_once_leave_nothing_behind(start) -> None:
    async with start() as rig:
        lines = [rig.submit("shell.run", line=f"echo {n}; exit {n % 2}") for n in range(20)]
        ends = [await rig.ended(run) for run in await asyncio.gather(*lines)]
        assert [run.status for run in ends] == ["succeeded", "failed"] * 10
        rig.assert_idle()

"""Scripts of the configuration as runs of a real host."""

import asyncio
import hashlib
import json
import os
from pathlib import Path

import pytest

from trunnion import CommandFailed, InvalidArguments, InvalidConfig
from trunnion.process.keeper import tree
from trunnion_scripts.output import DOCUMENT, JsonChannel

ECHO = """
[scripts.say]
run = ["sh", "-c", 'echo "$0 $*"; echo oops >&2', "{word}", "{*more}"]
[scripts.say.args.word]
type = "string"
required = true
[scripts.say.args.more]
type = "array"
items = { type = "string" }
"""


async def test_a_script_is_a_run_with_live_output_and_an_exact_result(serve):
    async with serve(ECHO) as host:
        run = await host.run("scripts.say", word="a b", more=["; rm -rf /", "$(id)"])
        assert run.status == "succeeded", run.error
        assert await host.text(run) == "a b ; rm -rf / $(id)\n"
        events = [e for e in await host.events(run) if e.kind == "text"]
        assert [(e.level, e.data["channel"]) for e in events if "oops" in e.text] == [("warning", "stderr")]
        assert all({"first_line", "lines"} <= e.data.keys() for e in events)
    assert (run.result["exit_code"], run.result["signal"], run.result["killed"]) == (0, None, 0)
    assert run.result["resources"]["max_rss"] > 0


async def test_output_comes_while_the_script_runs(serve, folder):
    gate = folder / "gate"
    config = f"""
    [scripts.slow]
    run = ["sh", "-c", "echo first; until [ -e {gate} ]; do sleep 0.02; done; echo second"]
    """
    async with serve(config) as host:
        run = await host.submit("scripts.slow")
        await host.until_text(run, "first")
        gate.touch()
        await host.until_text(run, "second")
        assert (await host.door.wait(host.caller, run.id, 10)).status == "succeeded"


async def test_arguments_are_judged_before_a_run_exists(serve):
    async with serve(ECHO) as host:
        for args in ({}, {"word": 5}, {"word": "x", "nope": 1}, {"word": "--help"}, {"word": "a\0b"}):
            with pytest.raises(InvalidArguments):
                await host.submit("scripts.say", **args)
        page = await host.door.query(host.caller, "runs.list", {})
    assert page["items"] == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("echo first >&2; echo last words >&2; exit 3", "sh exited with status 3: last words"),
        ("exit 255", "sh exited with status 255"),
        ("echo dying >&2; kill -SEGV $$", "sh was ended by SIGSEGV"),
    ],
)
async def test_failure_names_code_signal_and_last_line(serve, code, message):
    async with serve(f"[scripts.bad]\nrun = ['sh', '-c', '{code}']\nlimits = {{ core = 0 }}") as host:
        run = await host.run("scripts.bad")
    assert (run.status, run.error.code) == ("failed", "failed")
    assert run.error.message.startswith(message)
    assert {"exit_code", "signal", "resources"} <= run.error.details.keys()


async def test_a_script_that_failed_is_started_again_where_that_is_said(serve, folder):
    config = f"""
    [scripts.flaky]
    run = ["sh", "-c", "echo try >> {folder}/tries; [ $(wc -l < {folder}/tries) = 3 ]"]
    retry = {{ attempts = 3, delay = 0 }}
    [scripts.once]
    run = ["false"]
    """
    async with serve(config) as host:
        run = await host.run("scripts.flaky")
        assert (run.status, run.attempt) == ("succeeded", 3)
        once = await host.run("scripts.once")
        assert (once.status, once.attempt) == ("failed", 1)


async def test_a_program_that_used_up_its_processor_time_is_told_so(serve):
    loop = '["sh", "-c", "while :; do :; done"]'
    async with serve(f"[scripts.loop]\nrun = {loop}\nlimits = {{ cpu_seconds = 1, core = 0 }}") as host:
        run = await host.run("scripts.loop")
    assert run.status == "failed"
    assert run.error.message == "sh was ended by SIGKILL (it used up its limit of 1 seconds of processor time)"


async def test_a_program_that_was_killed_early_is_not_told_that_its_time_was_used_up(serve):
    async with serve('[scripts.dies]\nrun = ["sh", "-c", "kill -KILL $$"]\nlimits = { cpu_seconds = 60 }') as host:
        run = await host.run("scripts.dies")
    assert run.error.message == "sh was ended by SIGKILL"


async def test_a_program_that_is_not_there_is_named(serve):
    async with serve('[scripts.gone]\nrun = ["/nowhere/program"]') as host:
        run = await host.run("scripts.gone")
    assert (run.status, run.error.code) == ("failed", "unavailable")
    assert "/nowhere/program does not exist" in run.error.message
    assert run.error.details["permanent"] is True


SECRET = """
[scripts.login]
run = ["sh", "-c", 'echo "got $PASSWORD"; tr "\\0" " " < /proc/self/cmdline; echo "bad $PASSWORD" >&2; exit 1']
[scripts.login.args.password]
type = "string"
secret = true
required = true
env = "PASSWORD"

[scripts.pipe]
run = ["sh", "-c", "read x; test $x = hunter2-canary"]
[scripts.pipe.args.password]
type = "string"
secret = true
required = true
stdin = true
"""


async def test_a_secret_reaches_the_program_and_nothing_else(serve, tmp_path):
    async with serve(SECRET) as host:
        run = await host.run("scripts.login", password="hunter2-canary")
        assert run.status == "failed"
        assert run.error.message == "sh exited with status 1: bad •••"
        text = await host.text(run)
        assert "got •••" in text
        assert (await host.run("scripts.pipe", password="hunter2-canary")).status == "succeeded"
        events = json.dumps([str(e) for e in await host.events(run)])
        assert "canary" not in events + repr(run)
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"hunter2-canary" in path.read_bytes()]


async def test_json_is_in_the_result_and_only_there(serve):
    config = (
        """
    [scripts.good]
    run = ["echo", '{"a": [1, 2.5, null]}']
    output = "json"
    [scripts.bad]
    run = ["echo", '{"a": 1, "a": 2}']
    output = "json"
    """.replace('{"', '{{"')
        .replace(": 2}", ": 2}}")
        .replace("]}", "]}}")
    )
    async with serve(config) as host:
        run = await host.run("scripts.good")
        assert run.result["output"] == {"a": [1, 2.5, None]}
        assert run.result["exit_code"] == 0
        bad = await host.run("scripts.bad")
        assert bad.status == "failed"
        assert "should be JSON" in bad.error.message
        assert '"a": 2' in await host.text(bad)


async def test_json_lines_are_data_events_and_bad_ones_are_named(serve):
    config = r"""
    [scripts.lines]
    run = ["printf", '{{"n":1}}\nnot json\n\n{{"n":2}}']
    output = "ndjson"
    """
    async with serve(config) as host:
        run = await host.run("scripts.lines")
        events = await host.events(run)
        assert [e.data for e in events if e.kind == "data"] == [{"n": 1}, {"n": 2}]
        assert await host.text(run) == "not json\n"
        assert [e.data["line"] for e in events if e.kind == "log"] == [2]
    assert (run.result["items"], run.result["bad_lines"]) == (2, 1)


STUBBORN = """
[scripts.tree]
run = ["sh", "-c", "trap '' TERM; setsid sleep 600 & (sleep 600 &) ; echo up; while :; do sleep 1; done"]
env = {{ {mark} = "1" }}
stop_grace = 0.2
timeout = {timeout}
"""


@pytest.mark.parametrize("how", ["cancelled", "timed_out"])
async def test_cancel_and_timeout_leave_no_process(serve, marked, how, until):
    timeout = 600 if how == "cancelled" else 0.5
    async with serve(STUBBORN.format(mark=marked.name, timeout=timeout)) as host:
        run = await host.submit("scripts.tree")
        await host.until_text(run, "up")
        until(lambda: len(marked.pids()) >= 3, "the tree at rest")
        if how == "cancelled":
            await host.door.cancel(host.caller, run.id)
        run = await host.door.wait(host.caller, run.id, 10)
        assert run.status == how
        assert marked.pids() == []
        steps = [e.data["name"] for e in await host.events(run) if e.kind == "log" and e.text.startswith("stopping")]
    assert steps == ["terminate", "kill"]


async def test_what_a_script_leaves_behind_ends_with_it(serve, marked):
    config = f"""
    [scripts.leaver]
    run = ["sh", "-c", "setsid sleep 600 & echo done"]
    env = {{ {marked.name} = "1" }}
    drain_grace = 0.1
    """
    async with serve(config) as host:
        run = await host.run("scripts.leaver")
        assert marked.pids() == []
    assert (run.status, run.result["exit_code"], run.result["killed"]) == ("succeeded", 0, 1)


async def test_stopping_the_host_leaves_no_process(serve, marked):
    config = STUBBORN.format(mark=marked.name, timeout=600) + "\n[executor]\nshutdown_grace = 0.1\n"
    async with serve(config) as host:
        run = await host.submit("scripts.tree")
        await host.until_text(run, "up")
    assert marked.pids() == []


async def test_much_output_is_whole_and_in_order(serve):
    """With the writer in a process of its own the output is ahead of the disk unless it is paced."""
    config = (
        '[store]\ndurability = "power"\n[executor]\nmax_output_lines = 0\n[scripts.count]\nrun = ["seq", "3000000"]'
    )
    async with serve(config) as host:
        run = await host.run("scripts.count")
        assert run.status == "succeeded", run.error
        digest = hashlib.sha256((await host.text(run)).encode()).hexdigest()
    assert digest == hashlib.sha256("".join(f"{n}\n" for n in range(1, 3_000_001)).encode()).hexdigest()


async def test_a_script_need_not_read_its_input(serve, folder):
    gate = folder / "gate"
    config = f"""
    [scripts.deaf]
    run = ["sh", "-c", "exec <&-; until [ -e {gate} ]; do sleep 0.02; done"]
    stdin = "{"x" * 300_000}"
    """
    async with serve(config) as host:
        run = await host.submit("scripts.deaf")
        await host.until_text(run, "did not read all of its standard input")
        gate.touch()
        assert (await host.door.wait(host.caller, run.id, 10)).status == "succeeded"


async def test_a_stranger_who_holds_the_pipe_does_not_hold_up_the_run(serve, folder):
    gate = folder / "gate"
    config = f"""
    [scripts.held]
    run = ["sh", "-c", "echo pid $$; until [ -e {gate} ]; do sleep 0.02; done; echo last"]
    """
    async with serve(config) as host:
        run = await host.submit("scripts.held")
        await host.until_text(run, "pid")
        events = [e async for batch in host.door.follow(host.caller, f"run/{run.id}", live=False) for e in batch]
        pid = next(e.text.split()[1] for e in events if e.text.startswith("pid"))
        stranger = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY)
        try:
            gate.touch()
            run = await host.door.wait(host.caller, run.id, 10)
        finally:
            os.close(stranger)
        assert run.status == "succeeded"
        assert (await host.text(run)).endswith("last\n")


def test_a_document_without_end_is_not_kept():
    channel = JsonChannel(None)
    for _ in range(20):
        channel.take(b"1" * (1 << 20))
    assert len(channel._data) <= DOCUMENT
    with pytest.raises(CommandFailed, match="bytes long"):
        channel.facts()


async def test_rewritten_lines_are_one_line(serve):
    async with serve(r"""[scripts.bar]
run = ["printf", '10%%\r50%%\r100%%\nend\r\n']""") as host:
        assert await host.text(await host.run("scripts.bar")) == "100%\nend\n"


async def test_lanes_timeouts_and_descriptions_reach_the_descriptor(serve):
    config = """
    [scripts.x]
    run = ["true"]
    title = "An X"
    description = "does x"
    timeout = 7
    lock = ""
    role = "admin"
    expose = ["web"]
    """
    async with serve(config) as host:
        command = host.host.kernel.registry.command("scripts.x").command
    assert (command.title, command.description, command.timeout) == ("An X", "does x", 7)
    assert (command.lock, command.role, command.expose) == (None, "admin", frozenset({"web"}))


async def test_a_wrong_script_is_a_wrong_configuration(serve):
    with pytest.raises(InvalidConfig, match=r":2: scripts\.x\.run\.1: there is no argument 'y'"):
        async with serve('[scripts.x]\nrun = ["ls", "{y}"]'):
            pass


async def test_a_schema_that_is_none_is_named(serve):
    wrong = '[scripts.x]\nrun = ["ls", "{y}"]\n[scripts.x.args.y]\ntype = "strnig"'
    with pytest.raises(InvalidConfig, match=r"scripts\.x\.args: the schema of its arguments cannot be used"):
        async with serve(wrong):
            pass


async def test_without_daemons_scripts_run_all_the_same(serve, drop, folder):
    before = _children()
    drop("hello", "#!/bin/sh\necho hi\n")
    async with serve(f'[scripts]\nfolders = ["{folder}"]', mode="cold") as host:
        assert _children() == before, "no program, no keeper"
        run = await host.run("scripts.hello")
        assert await host.text(run) == "hi\n"
    assert _children() == before, "the keeper of a cold run goes with it"


def _children() -> set[int]:
    seen = [tree.look(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return {process.pid for process in seen if process and process.parent == os.getpid()}


async def test_many_scripts_side_by_side(serve):
    async with serve('[scripts.p]\nrun = ["sh", "-c", "exit 0"]\nlock = ""') as host:
        runs = await asyncio.gather(*(host.run("scripts.p") for _ in range(30)))
    assert {run.status for run in runs} == {"succeeded"}

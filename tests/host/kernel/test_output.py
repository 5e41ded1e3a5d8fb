"""What handlers print, log and emit, and where it lands."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable

import pytest
from kernel_kit import ANN, cmd, until

import trunnion
from trunnion.kernel.context import Context
from trunnion.kernel.output import LineBuffer, final_line
from trunnion.kernel.sink import BLOCK, FLOOD, Said, joined
from trunnion.model.errors import CommandFailed
from trunnion.model.events import NULL


async def test_print_logging_and_echo_land_in_the_run_they_are_said_in(start) -> None:
    """Defence: the context variable ``output.current``, copied into tasks and handler threads."""

    def say(who: str) -> None:
        print("print", who)
        print("err", who, file=sys.stderr)
        logging.getLogger("lib").warning("log %s", who)
        trunnion.echo("echo", who)
        trunnion.log(f"tlog {who}")

    def in_thread(who: str) -> None:
        say(who)

    async def in_task(who: str) -> None:
        await asyncio.create_task(asyncio.to_thread(say, who))

    async with start(cmd(in_thread), cmd(in_task), capture=True) as rig:
        runs = {}
        for n in range(10):
            for name in ("t.in_thread", "t.in_task"):
                who = f"{name}-{n}"
                runs[who] = await rig.submit(name, who=who)
        print("outside")
        for who, run in runs.items():
            await rig.ended(run)
            said = [(e.kind, e.text.strip()) for e in await rig.events(run) if e.kind in ("text", "log")]
            assert sorted(said) == sorted([
                ("text", f"print {who}"), ("text", f"err {who}"), ("log", f"log {who}"),
                ("text", f"echo {who}"), ("log", f"tlog {who}"),
            ])  # fmt: skip
        assert any(e.kind == "text" and "outside" in e.text for e in await rig.host_events())


async def test_a_line_that_rewrites_itself_is_one_line(start) -> None:
    """Defence: ``LineBuffer``."""

    async def bar(ctx: Context) -> None:
        for n in range(0, 101, 5):
            ctx.write(f"\r{n:3d}%")
            await asyncio.sleep(0.005)
        ctx.write("\ndone\n")

    async with start(cmd(bar)) as rig:
        run = await rig.run("t.bar")
        assert await rig.texts(run) == "100%\ndone\n"
        updates = [e for e in await rig.events(run) if e.kind == "text" and "update" in e.data]
        assert 1 <= len(updates) < 10


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        (["a", "b\n", "c"], "ab\nc\n"),
        (["one\r", "two\n"], "two\n"),
        (["one\r\ntwo\r\n"], "one\ntwo\n"),
        (["10%\r20%\r30%"], "30%\n"),
        (["\n\n"], "\n\n"),
        ([], ""),
    ],
)
def test_pieces_become_lines(pieces: list[str], lines: str) -> None:
    said: list[str] = []
    buffer = LineBuffer(said.append, lambda _: None)
    for piece in pieces:
        buffer.write(piece)
    buffer.finish()
    assert "".join(said) == lines
    assert final_line("a\rb\r") == "b"


async def test_long_output_is_cut_at_line_ends(start) -> None:
    """Defence: ``split_block``; ``first_line`` and ``lines`` count on."""

    async def talks(ctx: Context) -> None:
        ctx.text("".join(f"line {n}\n" for n in range(30_000)))
        ctx.text("y" * (BLOCK * 2) + "\n")

    async with start(cmd(talks)) as rig:
        run = await rig.run("t.talks")
        blocks = [e for e in await rig.events(run) if e.kind == "text"]
        assert all(len(e.text.encode()) <= BLOCK for e in blocks)
        whole = [e for e in blocks if "line" in e.text]
        assert all(e.text.endswith("\n") for e in whole)
        line = 1
        for event in whole:
            assert event.data["first_line"] == line
            assert event.text.startswith(f"line {line - 1}\n")
            line += event.data["lines"]
        assert line == 30_001


class Held:
    """A handler that says something while the loop stands still, so that all of it waits."""

    def __init__(self, says: Callable[[Context], None]) -> None:
        self._says = says
        self._there, self._begin, self._said = threading.Event(), threading.Event(), threading.Event()

    def handler(self, ctx: Context) -> None:
        self._there.set()
        self._begin.wait(10)
        self._says(ctx)
        self._said.set()

    async def let(self) -> None:
        """Have it speak."""
        await until(self._there.is_set)
        self._begin.set()
        assert self._said.wait(10)


async def test_a_flood_from_a_thread_comes_in_blocks(start) -> None:
    """Defence: ``joined`` in ``Sink._land_all``: followers and the store pay for a block, not for each line."""

    def flood(ctx: Context) -> None:
        for number in range(200):
            ctx.echo(f"before {number}")
        ctx.write("to err\n", channel="stderr")
        ctx.log("between")
        for number in range(200):
            ctx.echo(f"after {number}")

    held = Held(flood)
    async with start(cmd(held.handler)) as rig:
        run = await rig.submit("t.handler")
        await held.let()
        await rig.ended(run)
        said = [e for e in await rig.events(run) if e.kind in ("text", "log")]
        assert len(said) < 10
        assert [e.text for e in said if e.kind == "log" or e.data["channel"] == "stderr"] == ["to err\n", "between"]
        out = [e for e in said if e.kind == "text"]
        whole = [f"before {n}\n" for n in range(200)] + ["to err\n"] + [f"after {n}\n" for n in range(200)]
        assert "".join(e.text for e in out) == "".join(whole)
        ends = [e.data["first_line"] + e.data["lines"] for e in out]
        assert [e.data["first_line"] for e in out] == [1, *ends[:-1]]
        assert ends[-1] == 402


async def test_lines_that_come_little_by_little_stay_events_of_their_own(start) -> None:
    """Defence: ``FLOOD``."""
    lines = [f"line {n}\n" for n in range(FLOOD - 1)]
    held = Held(lambda ctx: [ctx.write(line) for line in lines].clear())
    async with start(cmd(held.handler)) as rig:
        run = await rig.submit("t.handler")
        await held.let()
        await rig.ended(run)
        assert [e.text for e in await rig.events(run) if e.kind == "text"] == lines


def lines_said(*texts: str, channel: str = "stdout", cut: int = 0) -> list[Said]:
    return [("text", text, NULL, "info", "h", channel, cut) for text in texts]


def test_what_may_not_stand_in_one_block_does_not() -> None:
    """Defence: ``_likeness``, ``split_block``."""
    apart = [
        lines_said("a\n") + lines_said("b\n", channel="stderr"),
        lines_said("a\n", cut=5) + lines_said("b\n", cut=5),
        lines_said("half") + lines_said("of it\n"),
        [("log", "a", NULL, "info", "h", None, 0)] * 2,
        lines_said("x" * (BLOCK - 1) + "\n") + lines_said("y" * (BLOCK - 1) + "\n"),
    ]
    for said in apart:
        assert list(joined(said)) == said
    assert list(joined(lines_said("a\n", "b\n"))) == lines_said("a\nb\n")


async def test_a_line_without_end_is_not_kept_in_memory_for_ever(start) -> None:
    """Defence: ``LineBuffer`` hands on what has grown past a block."""

    async def talks(ctx: Context) -> int:
        for _ in range(40):
            ctx.write("z" * 10_000)
        return max(len(buffer._partial) for buffer in ctx._buffers.values())

    async with start(cmd(talks)) as rig:
        run = await rig.run("t.talks")
        assert run.result <= BLOCK
        assert (await rig.texts(run)).replace("\n", "") == "z" * 400_000


async def test_a_channel_that_begins_while_a_run_ends_keeps_it_from_nothing(start, monkeypatch) -> None:
    """Defence: ``Context.finish_output`` goes over a copy; a thread that was left behind may print at that moment."""
    finish, contexts = LineBuffer.finish, list[Context]()

    def finished(buffer: LineBuffer) -> None:
        contexts[0].write("late", channel=f"late-{len(contexts[0]._buffers)}")
        finish(buffer)

    async def say(ctx: Context) -> None:
        contexts.append(ctx)
        ctx.write("half a line")
        ctx.write("another", channel="other")

    monkeypatch.setattr(LineBuffer, "finish", finished)
    async with start(cmd(say)) as rig:
        async with asyncio.timeout(30):
            assert (await rig.run("t.say")).status == "succeeded"


async def test_progress_is_thinned_and_its_last_word_kept(start) -> None:
    """Defence: ``Context.progress``."""

    async def works(ctx: Context) -> None:
        for n in range(10_000):
            ctx.progress(n, 10_001, f"step {n}")

    async with start(cmd(works)) as rig:
        run = await rig.run("t.works")
        progress = [e for e in await rig.events(run) if e.kind == "progress"]
        assert len(progress) < 100
        assert progress[-1].data == {"done": 9999, "total": 10_001, "text": "step 9999"}


async def test_figures_are_live_stored_and_listed(start) -> None:
    """Defence: ``RunTable.run_of`` and the row at the end."""
    go = asyncio.Event()

    async def counts(ctx: Context) -> None:
        ctx.stats.add("calls")
        ctx.stats.add("calls", 2)
        ctx.stats.set("cost", 0.5)
        await go.wait()

    async with start(cmd(counts)) as rig:
        run = await rig.submit("t.counts")
        await until(lambda: rig.live(run).context)
        await asyncio.sleep(0)
        assert (await rig.door.get(ANN, run.id)).stats == {"calls": 3, "cost": 0.5}
        go.set()
        assert (await rig.ended(run)).stats == {"calls": 3, "cost": 0.5}
        listed = await rig.door.query(ANN, "runs.list")
        assert listed["items"][0]["stats"] == {"calls": 3, "cost": 0.5}


async def test_tables_data_and_artifacts(start, tmp_path) -> None:
    (tmp_path / "file.bin").write_bytes(b"\0" * 3_000_000)

    async def makes(ctx: Context) -> str:
        ctx.table([[1, "a"], [2, "b"]], ["n", "s"], "two")
        ctx.data({"x": [1, 2]}, "text")
        await ctx.artifact("note.txt", b"hello", "text/plain")
        return (await ctx.artifact("big.bin", tmp_path / "file.bin")).id

    def in_thread(ctx: Context) -> str:
        return ctx.artifact_blocking("note.txt", b"hello").id

    async def absent(ctx: Context) -> None:
        await ctx.artifact("none", tmp_path / "none")

    async with start(cmd(makes), cmd(in_thread), cmd(absent)) as rig:
        run = await rig.run("t.makes")
        events = {e.kind: e for e in await rig.events(run)}
        assert events["table"].data == {"headers": ["n", "s"], "rows": [[1, "a"], [2, "b"]], "title": "two"}
        assert events["data"].data == {"x": [1, 2]}
        info, path = rig.kernel.store.artifact(run.result)
        assert (info.size, path.stat().st_size, path.stat().st_mode & 0o777) == (3_000_000, 3_000_000, 0o600)
        assert [a.name for a in rig.kernel.store.artifacts_of(run.id)] == ["note.txt", "big.bin"]
        assert (await rig.run("t.in_thread")).status == "succeeded"
        assert (await rig.run("t.absent")).error.code == "invalid_arguments"


async def test_a_table_says_how_it_wants_to_look_and_odd_wishes_are_refused(start) -> None:
    """Defence: ``checked_look``; in the run, by the module's function there, and outside of runs."""

    async def asks(ctx: Context) -> list[str]:
        ctx.table([[1, "a"]], ["n"], "T", align=("right", "left"), rule="═", indent=2, extra="cut", wrap=True)
        trunnion.table([[1]], gap=2)
        said = []
        for table in (ctx.table, trunnion.table):
            for odd in ({"align": ["middle"]}, {"rule": "\n"}, {"gap": "2"}, {"colour": "red"}):
                with pytest.raises((ValueError, TypeError)) as refused:
                    table([[1]], **odd)
                said.append(str(refused.value))
        return said

    async with start(cmd(asks)) as rig:
        run = await rig.run("t.asks")
        tables = [event.data for event in await rig.events(run) if event.kind == "table"]
        look = {"align": ["right", "left"], "rule": "═", "indent": 2, "extra": "cut"}
        assert tables == [
            {"headers": ["n"], "rows": [[1, "a"]], "title": "T", **look},
            {"headers": [], "rows": [[1]], "title": ""},
        ]
        for name, said in zip(("align", "rule", "gap"), run.result, strict=False):
            assert said.startswith(f"{name} of a table")
        assert run.result[:4] == run.result[4:]
        assert "no option colour" in run.result[3]
    with pytest.raises(ValueError, match="indent of a table"):
        trunnion.table([[1]], indent=-1)


SECRET = 'hunter2"2222'
SCHEMA = {"type": "object", "properties": {"key": {"type": "string", "writeOnly": True}}, "required": ["key"]}


@pytest.mark.parametrize("durability", ["memory", "process"])
async def test_secret_arguments_appear_nowhere(start, durability: str) -> None:
    """Defence: ``mask`` and the run's ``Redactor``: rows, events, results, errors, the host's log, the disk."""

    async def leaks(ctx: Context, args) -> object:
        ctx.echo("key is", args["key"])
        ctx.log(args["key"], data={"nested": [args["key"]]})
        ctx.data({args["key"]: 1})
        ctx.progress(1, 2, args["key"])
        return {"key": args["key"]}

    async def raises(args) -> None:
        raise CommandFailed(f"no access with {args['key']}", {"key": args["key"]})

    def defect(args) -> None:
        raise ValueError(args["key"])

    commands = [cmd(handler, args=SCHEMA) for handler in (leaks, raises, defect)]
    forms = [SECRET, SECRET.replace('"', '\\"')]
    async with start(*commands, durability=durability, capture=True) as rig:
        for command in commands:
            run = await rig.run(command.id, key=SECRET)
            assert run.args == {"key": "•••"}
            shown = repr(run) + repr([(e.text, bytes(e.raw)) for e in await rig.events(run)])
            assert not [f for f in forms if f in shown]
            assert "•••" in shown
        for stream in ("host", "host/log"):
            shown = repr([(e.text, bytes(e.raw)) for e in await rig.host_events(stream)])
            assert "hunter2" not in shown
        root = rig.host.data.root
    for path in (p for p in root.rglob("*") if p.is_file()):
        assert b"hunter2" not in path.read_bytes(), path


async def test_outside_of_runs_output_goes_to_the_stream_of_the_host(start) -> None:
    async with start(capture=True) as rig:
        trunnion.echo("a word")
        trunnion.table([[1, 2]], ["a", "b"])
        logging.getLogger("lib").error("trouble")
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
        await until(lambda: not rig.kernel.mailbox._items)
        text = "".join(e.text for e in await rig.host_events())
        assert "a word" in text
        assert "from a thread" in text
        assert any("trouble" in e.text for e in await rig.host_events("host/log"))
        assert "trouble" in rig.host.data.host_log.read_text()


async def test_what_a_follower_sees_of_a_stream_of_the_host_goes_on(start) -> None:
    async with start() as rig:
        follow = rig.door.follow(ANN, "host")
        await anext(follow)
        rig.host.handle("cli", "p").report("word", "hello")
        batch = await asyncio.wait_for(anext(follow), 5)
        assert batch[-1].data == {"code": "p.word"}
        await follow.aclose()


async def test_figures_are_bounded(start) -> None:
    """Defence: ``Stats._put``; one row could hold any number of them."""

    async def count(ctx: Context) -> None:
        for n in range(300):
            ctx.stats.add(f"n{n}")

    async with start(cmd(count)) as rig:
        run = await rig.run("t.count")
        assert (run.status, len(run.stats)) == ("failed", 256)
        assert "at most 256 figures" in run.error.message

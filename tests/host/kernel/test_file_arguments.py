"""File arguments: a path inside the fence from callers at this machine, a handle from everybody."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_kit import ANN, FakeClock, Plugin, Rig, cmd

from trunnion.arguments import compile_parameters
from trunnion.kernel.context import Context
from trunnion.kernel.file_arguments import _Unfit, real_path
from trunnion.model.commands import Query
from trunnion.model.errors import InvalidArguments, TrunnionError
from trunnion.model.runs import Caller, Invocation

WEB = Caller("ann", "web", "admin")
ZOE = Caller("zoe", "cli", "operator")


def read(file: Path) -> str:
    return file.read_text()


async def aread(ctx: Context, file: Path) -> str:
    return file.read_text()


def write(file: Path) -> None:
    file.write_text("written")


async def make(ctx: Context) -> str:
    return (await ctx.artifact("a.txt", b"kept")).id


@dataclass
class Job:
    source: Path
    title: str = ""


def nested(
    job: Job, more: list[Path], maybe: list[Path] | None = None, named: dict[str, Path] | None = None
) -> list[str]:
    return [path.name for path in (job.source, *more, *(maybe or []), *(named or {}).values())]


def defaulted(file: Path = Path("/etc/hostname")) -> str:
    return str(file)


def fenced(root: Path) -> dict[str, object]:
    return {"settings": {"bytes.roots": f'["{root}"]'}}


async def upload(rig: Rig, content: bytes, caller: Caller = ANN) -> str:
    info = await rig.door.open_upload(caller, "a")
    await rig.door.write_upload(caller, info.id, 0, content)
    return (await rig.door.finish_upload(caller, info.id)).handle


async def refused(asking: object, *words: str) -> InvalidArguments:
    with pytest.raises(InvalidArguments) as error:
        await asking
    for word in words:
        assert word in error.value.message
    return error.value


@pytest.fixture
def fence(tmp_path: Path) -> Path:
    (tmp_path / "ab").mkdir()
    (tmp_path / "abc").mkdir()
    (tmp_path / "ab" / "in.txt").write_text("inside")
    (tmp_path / "abc" / "out.txt").write_text("outside")
    return tmp_path / "ab"


@pytest.mark.parametrize("name", ["t.read", "t.aread"])
async def test_paths_uploads_and_kept_files_reach_handlers_as_files(start, fence: Path, name: str) -> None:
    async with start(cmd(read), cmd(aread), cmd(make), **fenced(fence)) as rig:
        handle = await upload(rig, b"uploaded")
        artifact = f"artifact:{(await rig.run('t.make')).result}"
        for value, content in ((str(fence / "in.txt"), "inside"), (handle, "uploaded"), (artifact, "kept")):
            run = await rig.run(name, file=value)
            assert (run.result, run.args) == (content, {"file": value})


async def test_a_file_to_be_written_is_judged_by_its_folder(start, fence: Path) -> None:
    async with start(cmd(write), **fenced(fence)) as rig:
        assert (await rig.run("t.write", file=str(fence / "new.txt"))).status == "succeeded"
        assert (fence / "new.txt").read_text() == "written"
        await refused(rig.submit("t.write", file=str(fence.parent / "abc" / "new.txt")), "file: ", "outside")


async def test_relative_paths_are_relative_to_where_the_client_says_it_is(start, fence: Path) -> None:
    async with start(cmd(read), **fenced(fence)) as rig:
        run = await rig.ended(await rig.ask(command_id="t.read", args={"file": "in.txt"}, cwd=str(fence)))
        assert (run.result, run.args["file"]) == ("inside", str(fence / "in.txt"))
        await refused(rig.submit("t.read", file="in.txt"), "relative", "absolute path")
        await refused(rig.ask(command_id="t.read", args={"file": "in.txt"}, cwd="ab"), "relative")
        await refused(rig.submit("t.read", file=""), "no path")
        await refused(rig.submit("t.read", file="/a\0b"))


@pytest.mark.parametrize("chain", [("web",), ("cli", "web")])
async def test_from_afar_only_handles_are_taken_even_through_other_commands(start, fence: Path, chain: tuple) -> None:
    """Defence: ``_settled`` looks at the whole chain; a command that is exposed must not open the host's files."""
    path = str(fence / "in.txt")

    async def through(ctx: Context) -> object:
        return await ctx.invoke("t.read", file=path)

    far = Caller("ann", chain[-1], "admin", chain[:-1])
    commands = [cmd(function, expose=frozenset({"web"})) for function in (read, through, make)]
    async with start(*commands) as rig:
        door = rig.host.door(far.source)
        call = door.submit(far, Invocation(command_id="t.read", args={"file": path}, cwd="/"))
        await refused(call, "file: ", "callers by web", "upload")
        run = await door.submit(far, Invocation(command_id="t.through"))
        ended = await door.wait(far, run.id, 20)
        assert (ended.status, ended.error.code) == ("failed", "invalid_arguments")
        handle = await upload(rig, b"uploaded")
        run = await door.submit(far, Invocation(command_id="t.read", args={"file": handle}))
        assert (await door.wait(far, run.id, 20)).result == "uploaded"


async def test_every_name_of_a_file_is_found_at_any_depth(start, fence: Path) -> None:
    """Defence: ``file_places``; a path in a list in a record would pass the fence unseen."""
    good, bad = str(fence / "in.txt"), str(fence.parent / "abc" / "out.txt")
    args = {"job": {"source": good, "title": "upload:x"}, "more": [good], "maybe": [good], "named": {"x": good}}
    async with start(cmd(nested), **fenced(fence)) as rig:
        assert (await rig.run("t.nested", **args)).result == ["in.txt"] * 4
        for wrong in (
            {"job": {"source": bad, "title": ""}}, {"more": [good, bad]}, {"maybe": [bad]}, {"named": {"y": bad}},
        ):  # fmt: skip
            (name,) = wrong
            await refused(rig.submit("t.nested", **{**args, **wrong}), f"{name}: ", "outside")


async def test_the_authors_own_default_is_nobodys_request(start, fence: Path) -> None:
    async with start(cmd(defaulted, expose=frozenset({"web"})), **fenced(fence)) as rig:
        door = rig.host.door("web")
        run = await door.submit(WEB, Invocation(command_id="t.defaulted"))
        assert (await door.wait(WEB, run.id, 20)).result == "/etc/hostname"


async def test_anothers_handle_is_answered_like_one_that_is_not_there(start) -> None:
    async with start(cmd(read), cmd(make)) as rig:
        handle, artifact = await upload(rig, b"mine"), (await rig.run("t.make")).result
        half = await rig.door.open_upload(ZOE, "half")
        for value in (handle, "upload:nothing", "upload:../secret.key", f"artifact:{artifact}", "artifact:nothing"):
            error = await refused(rig.submit("t.read", ZOE, file=value), "is not there, or is not yours to use")
            assert error.details["problems"][0]["path"] == "file"
        await refused(rig.submit("t.read", ZOE, file=half.handle), "not finished")


async def test_what_a_name_leads_to_is_judged_again_before_the_first_step(start, fence: Path) -> None:
    """Defence: ``Handlers`` locates anew and hands over the real path; a link swapped in the lane leads nowhere."""
    link, began, go = fence / "link", asyncio.Event(), asyncio.Event()
    link.symlink_to(fence / "in.txt")

    async def first(ctx: Context) -> None:
        began.set()
        await go.wait()

    async def second(ctx: Context, file: Path) -> str:
        return str(file)

    async with start(cmd(first, lock="one"), cmd(second, lock="one"), **fenced(fence)) as rig:
        assert (await rig.run("t.second", file=str(link))).result == str(fence / "in.txt")
        blocking = await rig.submit("t.first")
        await began.wait()
        waiting = await rig.submit("t.second", file=str(link))
        link.unlink()
        link.symlink_to(fence.parent / "abc" / "out.txt")
        go.set()
        await rig.ended(blocking)
        ended = await rig.ended(waiting)
        assert (ended.status, ended.error.code) == ("failed", "invalid_arguments")
        assert "outside" in ended.error.message


async def test_queries_are_held_to_the_same(start, fence: Path) -> None:
    async def size(file: Path) -> int:
        return len(file.read_text())

    plugin = {"q": Plugin(queries=[Query.of(size, console="q", expose=frozenset({"web"}))])}
    async with start(more_plugins=plugin, **fenced(fence)) as rig:
        handle = await upload(rig, b"uploaded")
        assert await rig.door.query(ANN, "q.size", {"file": handle}) == 8
        assert await rig.door.query(ANN, "q.size", {"file": str(fence / "in.txt")}) == 6
        await refused(rig.door.query(ANN, "q.size", {"file": "/etc/hostname"}), "outside")
        await refused(rig.host.door("web").query(WEB, "q.size", {"file": str(fence / "in.txt")}), "callers by web")


async def test_after_a_restart_a_handle_still_means_its_file(start) -> None:
    """A run that waited is taken up by the next host: its row has the handle, the handler gets the file."""
    async with start(cmd(read), durability="process") as rig:
        handle = await upload(rig, b"uploaded")
        later = rig.kernel.clock.utc() + 60_000_000
        waiting = await rig.ask(command_id="t.read", args={"file": handle}, not_before=later)
        image = rig.disk_image()
    clock = FakeClock()
    async with start(cmd(read), data=image, durability="process", clock=clock) as after:
        await after.kernel.files.upkeep.sweep()
        clock.advance(61)
        ended = await after.ended(waiting)
        assert (ended.result, ended.args) == ("uploaded", {"file": handle})


# -- the fence alone -------------------------------------------------------------------------------


def test_the_fence_goes_by_real_paths(fence: Path) -> None:
    """Defence: ``realpath`` and ``commonpath``: not what a path looks like counts, but where it leads."""
    outside = fence.parent / "abc"
    (fence / "away").symlink_to(outside)
    (fence / "absolute").symlink_to("/etc/hostname")
    (fence / "up").symlink_to("../abc/out.txt")
    (fence / "dangling").symlink_to(outside / "new.txt")
    (fence / "circle").symlink_to(fence / "circle")
    (outside / "back").symlink_to(fence / "in.txt")
    roots = [str(fence)]
    for path in (
        outside / "out.txt", fence / ".." / "abc" / "out.txt", fence / "away" / "out.txt", fence / "away" / "new.txt",
        fence / "absolute", fence / "up", fence / "dangling", fence / "circle", "/", fence.parent,
    ):  # fmt: skip
        with pytest.raises(_Unfit):
            real_path(str(path), roots)
    for path in (fence / "in.txt", fence / "new.txt", fence, outside / "back", fence / "away" / ".." / "ab" / "in.txt"):
        assert real_path(str(path), roots).startswith(f"{fence}")


def test_a_root_that_is_a_link_is_where_it_leads(fence: Path) -> None:
    (fence.parent / "alias").symlink_to(fence)
    assert real_path(str(fence / "in.txt"), [str(fence.parent / "alias")]) == str(fence / "in.txt")


def test_only_files_and_folders_are_arguments(fence: Path) -> None:
    """Defence: the mode of what is there; opening a pipe would hold a thread for ever."""
    os.mkfifo(fence / "pipe")
    (fence / "to_pipe").symlink_to(fence / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(fence)  # a socket's path may be short only
    try:
        listening.bind("socket")
    finally:
        os.chdir(here)
    for path in (fence / "pipe", fence / "to_pipe", fence / "socket", Path("/dev/null"), Path("/dev/zero")):
        with pytest.raises(_Unfit, match="neither a file nor a folder"):
            real_path(str(path), ["/"])
    listening.close()


@given(st.lists(st.text(min_size=1, max_size=4), max_size=4), st.text(min_size=1, max_size=4))
def test_exactly_the_names_of_files_are_changed(more: list[str], title: str) -> None:
    parameters = compile_parameters(nested)
    bound = parameters.bind({"job": {"source": "s", "title": title}, "more": more})
    seen: list[str] = []

    def note(_: str, value: str) -> str:
        seen.append(value)
        return f"/r/{value}"

    changed = parameters.with_files(bound, note)
    assert seen == ["s", *more]
    assert changed.args["job"] == {"source": "/r/s", "title": title}
    assert changed.args["more"] == [f"/r/{name}" for name in more]
    assert bound.args["more"] == more


def test_a_schema_of_ones_own_is_read_the_same_way() -> None:
    path = {"type": "string", "format": "path"}
    schema = {
        "type": "object",
        "$defs": {"Node": {"type": "object", "properties": {"at": path, "next": {"$ref": "#/$defs/Node"}}}},
        "properties": {
            "tree": {"$ref": "#/$defs/Node"}, "either": {"anyOf": [{"type": "null"}, {"type": "array", "items": path}]},
            "by_name": {"type": "object", "patternProperties": {"^x": path}}, "plain": {"type": "string"},
        },
    }  # fmt: skip
    parameters = compile_parameters(lambda args: None, schema)
    assert parameters.files == {"tree", "either", "by_name"}
    args = {"tree": {"at": "1", "next": {"at": "2"}}, "either": ["3"], "by_name": {"x1": "4"}, "plain": "p"}
    seen: list[str] = []
    parameters.with_files(parameters.bind(args), lambda _, value: seen.append(value) or value)
    assert sorted(seen) == ["1", "2", "3", "4"]


async def test_a_refusal_has_one_code_wherever_it_is_made(start, fence: Path) -> None:
    async with start(cmd(read), **fenced(fence)) as rig:
        for value in ("/etc/hostname", "upload:nothing", "relative"):
            with pytest.raises(TrunnionError) as error:
                await rig.submit("t.read", file=value)
            assert error.value.code == "invalid_arguments"

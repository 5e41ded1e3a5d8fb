"""Commands with isolate='process': arguments, context, questions to the host, secrets."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import handlers_kit as kit
import pytest
from kernel_kit import cmd

from trunnion.model.commands import Command, Retry
from trunnion.model.errors import Forbidden, InvalidArguments
from trunnion.model.runs import Caller, RunFilter

pytestmark = pytest.mark.anyio


def apart(handler: object, **options: object) -> Command:
    return cmd(handler, isolate="process", **options)


async def test_arguments_arrive_as_the_types_the_handler_names(start, tmp_path: Path) -> None:
    async with start(apart(kit.values), apart(kit.many)) as rig:
        run = await rig.run(
            "t.values",
            first=3,
            colour="blue",
            box={"name": "b", "inner": {"x": 1, "y": 2}},
            where=str(tmp_path),
            words=["a", "b"],
        )
        box = "Box(name='b', inner=Point(x=1, y=2))"
        assert run.result == ["3", "<Colour.BLUE: 'blue'>", box, repr(tmp_path), "('a', 'b')"]
        assert (await rig.run("t.many", words=["x", "y"])).result == ["x", "y"]


async def test_the_context_says_what_the_host_knows(start) -> None:
    async with start(apart(kit.facts, timeout=500)) as rig:
        run = await rig.ask(command_id="t.facts", labels={"a": "b"}, session_id="s1")
        said = (await rig.ended(run)).result
        remaining = said.pop("remaining")
        assert 0 < remaining <= 500
        assert said == {
            "run_id": run.id, "command": "t.facts", "principal": "ann", "source": "cli", "labels": {"a": "b"},
            "session": "s1", "attempt": 1, "run": run.id, "cancelled": False,
        }  # fmt: skip


async def test_nothing_of_the_run_is_in_the_words_or_the_environment_of_its_process(start, monkeypatch) -> None:
    """Defence: ``isolated._spawn`` leaves out what is the host's; arguments go over the pipe."""
    monkeypatch.setenv("TRUNNION_OWN", "words of the host")
    monkeypatch.setenv("FOR_HANDLERS", "theirs")
    async with start(apart(kit.sees)) as rig:
        said = (await rig.run("t.sees")).result
        assert said["env"]["FOR_HANDLERS"] == "theirs"
        assert "words of the host" not in str(said)
        assert "handlers_kit" not in said["argv"]


async def test_secrets_are_cut_from_all_that_arrives(start) -> None:
    """Defence: what a process says goes through the run's own redactor, raw bytes included."""
    async with start(apart(kit.keeps_secret), apart(kit.learns)) as rig:
        run = await rig.run("t.keeps_secret", password="xyzzy-plugh")
        assert run.status == "failed"
        shown = repr(run) + repr(await rig.events(run)) + repr(await rig.host_events("host/log"))
        assert "xyzzy-plugh" not in shown
        texts = await rig.texts(run)
        assert "the password is •••" in texts
        assert "raw •••" in texts
        assert "again •••" in repr(await rig.events(run))
        learned = await rig.run("t.learns")
        assert "s3cr3t-token" not in repr(learned) + repr(await rig.events(learned))


async def test_what_it_asks_for_the_host_does_as_far_as_its_caller_may(start) -> None:
    """Defence: ``Talk`` asks the context, which asks as the run's own principal."""

    async def child(n: int) -> int:
        return n * 2

    async def boss(n: int) -> int:
        return n

    oscar = Caller("oscar", "cli", "operator")
    commands = [cmd(child), cmd(boss, role="admin"), apart(kit.asks), apart(kit.asks_blocking), apart(kit.asks_many)]
    async with start(*commands) as rig:
        run = await rig.run("t.asks", oscar, command="t.child", n=21)
        assert run.result == 42
        page = rig.kernel.store.list_runs(RunFilter(parent_run_id=run.id), 10, None)
        (doubled,) = page.items
        assert (doubled.principal, doubled.source, doubled.chain) == ("oscar", "command", ("cli",))
        assert (await rig.run("t.asks_blocking", oscar, command="t.child", n=4)).result == 8
        assert (await rig.run("t.asks_many", command="t.child", n=8)).result == [n * 2 for n in range(8)]
        refused = await rig.run("t.asks", oscar, command="t.boss", n=1)
        assert (refused.status, refused.error.code) == ("failed", Forbidden.code)
        missing = await rig.run("t.asks_blocking", command="t.nobody", n=1)
        assert missing.error.code == "not_found"


async def test_an_isolated_command_may_ask_for_another(start) -> None:
    async with start(apart(kit.asks), apart(kit.perform)) as rig:
        run = await rig.run("t.asks", command="t.trivial", n=1)
        assert run.error.code == "not_found"
    async with start(apart(kit.asks_blocking), apart(kit.many)) as rig:
        assert (await rig.run("t.asks_blocking", command="t.many", n=1)).error.code == "invalid_arguments"


@pytest.mark.parametrize("name", ["require", "spawn", "spawn_blocking", "redacted"])
async def test_what_an_isolated_context_cannot_have_is_refused_by_name(start, name: str) -> None:
    async with start(apart(kit.tries)) as rig:
        error = (await rig.run("t.tries", name=name)).error
        assert error.code == "unavailable"
        assert f"ctx.{name} is not there in an isolated command" in error.message


async def test_files_are_read_in_the_process_and_written_by_the_host(start, tmp_path: Path) -> None:
    content = b"0123456789" * 100_000
    (tmp_path / "file").write_bytes(content)
    async with start(apart(kit.keeps), apart(kit.keeps_file), apart(kit.gives_up_a_file)) as rig:
        run = await rig.run("t.keeps", size=700_000)
        assert run.result == ["bytes.bin 700000", "pieces.bin 2800000", "empty.bin 0"]
        kept = await rig.run("t.keeps_file", path=str(tmp_path / "file"))
        assert kept.result == hashlib.sha256(content).hexdigest()
        refused = await rig.run("t.keeps_file", path=str(tmp_path))
        assert (refused.error.code, "not a regular file" in refused.error.message) == ("invalid_arguments", True)
        assert (await rig.run("t.gives_up_a_file")).result == "no more"
        assert "isolated.refused" not in await rig.codes()
        left = [path for path in rig.host.data.artifacts.rglob("*") if path.is_file()]
        assert len(left) == 4


async def test_a_limit_of_the_host_holds_for_its_files(start) -> None:
    async with start(apart(kit.keeps), settings={"bytes.max_artifact": 1000}) as rig:
        run = await rig.run("t.keeps", size=700_000)
        assert run.error.code == "invalid_arguments"


async def test_a_large_result_becomes_an_artifact(start) -> None:
    async with start(apart(kit.perform), max_result_bytes=1000) as rig:
        run = await rig.run("t.perform", steps=[], special="large")
        assert run.result["name"] == "result.json"
        assert run.result["size"] == 200_002


async def test_it_can_be_tried_again(start) -> None:
    codes = frozenset({"unavailable"})
    async with start(apart(kit.perform, retry=Retry(attempts=2, delay=0, codes=codes))) as rig:
        run = await rig.run("t.perform", steps=[{"do": "print", "value": "x"}, {"do": "raise", "value": "unavailable"}])
        assert (run.status, run.attempt) == ("failed", 2)
        assert await rig.texts(run) == "x\nx\n"


async def test_clicks_may_be_isolated_too(start) -> None:
    async with start(apart(kit.trivial, keep="none")) as rig:
        run = await rig.submit("t.trivial")
        assert (run.status, run.result) == ("succeeded", 1)


async def test_where_no_process_can_be_started_the_run_is_unavailable(start, monkeypatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    async with start(cmd(kit.trivial, name="here"), apart(kit.trivial)) as rig:
        await rig.run("t.here")
        error = (await rig.run("t.trivial")).error
        assert error.code == "unavailable"


async def test_a_module_that_cannot_be_imported_there_is_named(start, tmp_path: Path, monkeypatch) -> None:
    module = tmp_path / "gone_by_then.py"
    module.write_text("def work() -> int:\n    return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    work = importlib.import_module("gone_by_then").work
    try:
        async with start(apart(work)) as rig:
            assert (await rig.run("t.work")).result == 1
            module.unlink()
            shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
            error = (await rig.run("t.work")).error
            assert error.code == "internal"
            assert "gone_by_then.work cannot be imported in a process of its own: ModuleNotFoundError" in error.message
    finally:
        del sys.modules["gone_by_then"]


async def test_a_file_that_stands_by_itself_is_loaded_by_its_path(start, tmp_path: Path) -> None:
    """As those of ``--plugin-dir`` are; its types are known there by the same name."""
    file = tmp_path / "alone.py"
    file.write_text(
        "import enum\n"
        "class Colour(enum.Enum):\n    RED = 'red'\n"
        "def paint(colour: Colour) -> str:\n    return f'{__name__} {colour!r}'\n"
    )
    paint = import_file(file, "alone_in_a_folder").paint
    try:
        async with start(apart(paint)) as rig:
            assert (await rig.run("t.paint", colour="red")).result == "alone_in_a_folder <Colour.RED: 'red'>"
    finally:
        del sys.modules["alone_in_a_folder"]


async def test_an_argument_that_cannot_be_sent_is_named(start, monkeypatch) -> None:
    """What the annotation names must be found in the module, there as here."""
    async with start(apart(kit.values)) as rig:
        monkeypatch.delattr(kit, "Point")
        box = {"name": "b", "inner": {"x": 1, "y": 2}}
        error = (await rig.run("t.values", first=1, colour="red", box=box, where="/", words=["w"])).error
        assert error.code == "invalid_arguments"
        assert "an argument cannot be sent to the process of t.values" in error.message


def import_file(file: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_isolate_is_one_of_two_words() -> None:
    with pytest.raises(ValueError, match="isolate is 'none' or 'process'"):
        Command.of(kit.trivial, isolate="thread")


# -- which functions can be found -----------------------------------------------------------------


class Holder:
    def method(self) -> None:
        """Belongs to a class."""

    def __call__(self) -> None:
        """Is an object."""


def renamed() -> None:
    """Its name in the module is another one's."""


taken_away, renamed = renamed, kit.trivial
LAMBDA = lambda: None  # noqa: E731  # what is refused


def test_what_another_process_cannot_find_is_refused_with_a_way_out() -> None:
    from trunnion.isolation.place import place_of

    def inner() -> None:
        """Exists only in here."""

    in_main = type(kit.trivial)(kit.trivial.__code__, {"__name__": "__main__"}, "trivial")
    refused = {
        "a lambda has no name": LAMBDA,
        "the function around it": inner,
        "it belongs to a class": Holder.method,
        "no plain function": Holder(),
        "in the program's own file": in_main,
        "is something else": taken_away,
    }
    for why, handler in refused.items():
        with pytest.raises(InvalidArguments, match=why):
            place_of(handler)
    with pytest.raises(InvalidArguments, match="no plain function"):
        place_of(Holder().method)
    assert place_of(kit.trivial).file == ""

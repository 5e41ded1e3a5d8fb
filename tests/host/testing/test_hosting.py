"""A host for tests: nothing but what it is given, usable with and without a loop, gone afterwards."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import threading
import time
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunnion import (
    Command,
    CommandFailed,
    Context,
    Forbidden,
    InvalidConfig,
    Invocation,
    NotFound,
    Observer,
    Query,
    Setting,
    command,
    hookimpl,
)
from trunnion.model.errors import BrokenPlugin
from trunnion.testing import BlockingHarness, FakeClock, Harness, Hosting
from trunnion.testing.toml import as_toml

pytestmark = pytest.mark.anyio


@command(console="t", lock=None)
def shout(ctx: Context, word: str = "ho") -> str:
    """Print and return a word."""
    print(word)
    logging.getLogger("shouting").warning("loud")
    return f"{ctx.principal} shouted {word}"


@command(console="t", lock=None)
async def stay(ctx: Context) -> None:
    """Stay until told to go."""
    await asyncio.Event().wait()


@command(console="t")
async def fail() -> None:
    """Fail as expected."""
    raise CommandFailed("the belt is stuck")


class Dial:
    """A plugin with settings of every type."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    @hookimpl
    def trunnion_settings(self):
        yield Setting(key="", schema={"type": "object", "additionalProperties": True})

    @hookimpl
    def trunnion_queries(self, settings):
        def value() -> object:
            return dict(settings)

        yield Query.of(value, console="dial")

    @hookimpl
    def trunnion_observers(self):
        async def see(events) -> None:
            self.seen += events

        yield Observer(name="dial", on_events=see, streams="run/*")


class Broken:
    @hookimpl
    def trunnion_commands(self):
        raise RuntimeError("no wheel")


class Open:
    """A plugin whose command is open to the web."""

    @hookimpl
    def trunnion_commands(self):
        return [Command.of(shout, console="open", expose=frozenset({"web"}))]


# -- both kinds of test ---------------------------------------------------------------------------


def test_a_plain_test_has_a_host():
    with Hosting(commands=[shout, fail]) as host:
        assert isinstance(host, BlockingHarness)
        run = host.invoke("t.shout", word="hi")
        assert (run.status, run.result, run.source) == ("succeeded", "tester shouted hi", "cli")
        assert host.texts(run) == "hi\n"
        assert [e.text for e in host.events(run) if e.level == "warning"] == ["loud"]
        assert host.events(run)[-1].data["status"] == "succeeded"
        assert host.result("t.shout") == "tester shouted ho"
        assert host.ask(Invocation(line="t.shout hey")).command_id == "t.shout"
        assert "t.fail" in {entry["id"] for entry in host.meta()["commands"]}
        with pytest.raises(CommandFailed, match="the belt is stuck"):
            host.result("t.fail")
        assert host.invoke("t.fail").status == "failed"


async def test_an_asynchronous_test_has_one_on_its_own_loop():
    async with Hosting(commands=[shout, stay]) as host:
        assert isinstance(host, Harness)
        assert host.host.kernel.loop is asyncio.get_running_loop()
        assert await host.texts(await host.invoke("t.shout")) == "ho\n"
        run = await host.submit("t.stay")
        await host.cancel(run)
        assert (await host.wait(run)).status == "cancelled"


def test_the_blocking_harness_has_every_method_of_the_other():
    public = {name for name in dir(Harness) if not name.startswith("_")}
    assert public - {"host", "caller"} == {n for n in dir(BlockingHarness) if not n.startswith("_")} - {
        "host",
        "caller",
    }


# -- nothing but what it is given -----------------------------------------------------------------


def test_it_looks_for_nothing(tmp_path, monkeypatch):
    (tmp_path / "trunnion.toml").write_text("this is no configuration")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUNNION_CONFIG", str(tmp_path / "trunnion.toml"))
    monkeypatch.setenv("TRUNNION_PLUGINS", "nobody")
    monkeypatch.setenv("TRUNNION__EXECUTOR__MAX_RUNNING", "none")
    with Hosting() as host:
        status = host.query("host.status")
        assert host.meta()["plugins"] == []
        assert status["frontends"] == []
        assert not str(status["data_dir"]).startswith(str(tmp_path))


def test_an_installed_plugin_is_given_by_name():
    with Hosting(plugins=["scripts"]) as host:
        assert host.query("scripts.list")["items"] == []
    with pytest.raises(NotFound, match="no plugin 'scirpts' is installed") as refused:
        Hosting(plugins=["scirpts"]).__enter__()
    assert refused.value.details["nearest"] == ["scripts"]


def test_a_plugin_that_cannot_be_used_is_an_error_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before, out = threading.active_count(), sys.stdout
    hosting = Hosting(plugins={"broken": Broken()})
    with pytest.raises(BrokenPlugin, match="no wheel"):
        hosting.__enter__()
    with pytest.raises(InvalidConfig, match="dail"), Hosting(plugins=[Dial()], settings={"dail": {"a": 1}}):
        pass
    assert threading.active_count() == before
    assert sys.stdout is out
    assert list(tmp_path.iterdir()) == []


def test_the_data_is_gone_with_the_host_unless_it_has_a_place(tmp_path):
    with Hosting(commands=[shout]) as host:
        folder = host.host.data.root
        assert folder.is_dir()
    assert not folder.exists()
    for expected in (0, 1):
        with Hosting(commands=[shout], store="process", data_dir=tmp_path) as host:
            assert len(host.query("runs.list")["items"]) == expected
            host.invoke("t.shout")


# -- settings -------------------------------------------------------------------------------------

SETTINGS = {
    "text": 'a "quoted" \\ line\nand \x7f \x00 ü 🌱 = 3',
    "number": "3",
    "count": 3,
    "ratio": -1.5e-7,
    "yes": True,
    "many": ["a", 1, [2.5, False]],
    "table": {"dotted.key": {"": "empty key"}, "b": []},
}


def test_settings_arrive_as_they_were_given():
    with Hosting(plugins=[Dial()], settings={"dial": {**SETTINGS, "none": None}}) as host:
        assert host.query("dial.value") == SETTINGS


json_values = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), st.dictionaries(st.text(), json_values, max_size=3), max_size=3))
def test_what_is_written_as_toml_is_read_back(sections):
    assert tomllib.loads(as_toml(sections)) == sections


# -- whom it speaks for ---------------------------------------------------------------------------


def test_somebody_else_at_another_door():
    with Hosting(commands=[shout], plugins=[Open()]) as host:
        ann = host.as_principal("ann", "operator")
        assert ann.result("t.shout") == "ann shouted ho"
        with pytest.raises(Forbidden):
            host.as_principal("vera", "viewer").submit("t.shout")
        web = host.as_principal("wim", "operator", "web")
        assert web.invoke("open.shout").source == "web"
        with pytest.raises(NotFound):
            web.submit("t.shout")  # not exposed
        with pytest.raises(NotFound):
            ann.events(host.submit("t.shout"))  # another's
        assert (ann.caller.principal, host.caller.principal) == ("ann", "tester")


# -- what is printed ------------------------------------------------------------------------------


def test_what_the_test_prints_is_the_tests(capsys, caplog):
    with Hosting(commands=[shout]) as host:
        print("from the test")
        host.invoke("t.shout", word="from the handler")
    assert capsys.readouterr().out == "from the test\n"
    with Hosting(commands=[shout]) as host, Hosting(commands=[shout]) as other:
        print("from the test")
        texts = [host.texts(host.invoke("t.shout", word="one")), other.texts(other.invoke("t.shout", word="two"))]
    assert texts == ["one\n", "two\n"]
    assert capsys.readouterr().out == "from the test\n"
    with Hosting(commands=[shout], capture=False) as host:
        assert host.texts(host.invoke("t.shout", word="from the handler")) == ""
    assert capsys.readouterr().out == "from the handler\n"


# -- time -----------------------------------------------------------------------------------------


async def test_time_passes_when_the_test_says_so():
    async with Hosting(commands=[stay], clock=FakeClock()) as host:
        run = await host.ask(Invocation(command_id="t.stay", timeout=3600))
        await host.advance(3599)
        assert (await host.query("runs.get", run_id=run.id))["status"] == "running"
        await host.advance(1)
        ended = await host.wait(run)
        assert ended.status == "timed_out"
        assert 3600e6 <= ended.finished - ended.created < 3601e6


def test_time_passes_in_a_plain_test_too():
    clock = FakeClock()
    with Hosting(commands=[stay], clock=clock) as host:
        run = host.ask(Invocation(command_id="t.stay", timeout=3600))
        host.advance(3600)
        assert host.wait(run).status == "timed_out"
    assert clock.passed == 3600
    with Hosting() as host, pytest.raises(TypeError, match="clock=FakeClock"):
        host.advance(1)


async def test_the_fake_clock_calls_in_order_and_only_what_was_not_called_off():
    clock, called = FakeClock(), []
    for name, delay in (("late", 3.0), ("soon", 1.0), ("off", 2.0), ("also soon", 1.0), ("never", 9.0)):
        timer = clock.call_later(delay, lambda name=name: called.append((name, clock.passed)))
        if name == "off":
            timer.cancel()
    clock.advance(0.5)
    assert called == []
    clock.advance(4.5)
    assert called == [("soon", 1.0), ("also soon", 1.0), ("late", 3.0)]
    assert (clock.passed, clock.monotonic()) == (5.0, 1005.0)


def test_a_run_at_work_does_not_hold_up_the_end_of_a_test():
    begun = time.monotonic()
    with Hosting(commands=[stay]) as host:
        host.submit("t.stay")
    assert time.monotonic() - begun < 5


# -- waiting --------------------------------------------------------------------------------------


async def test_patience_ends():
    async with Hosting(commands=[stay], patience=0.05) as host:
        run = await host.submit("t.stay")
        with pytest.raises(TimeoutError):
            await host.events(run)
        with pytest.raises(Exception, match="has not ended within"):
            await host.wait(run)
        await host.cancel(run)


def test_observers_have_seen_all_when_it_is_settled():
    dial = Dial()
    with Hosting(commands=[shout], plugins={"dial": dial}) as host:
        run = host.invoke("t.shout")
        host.settle()
        assert [e.seq for e in dial.seen] == list(range(1, run.last_seq + 1))
        host.settle()
        assert len(dial.seen) == run.last_seq


async def test_an_observer_that_takes_nothing_is_named():
    class Blind:
        @hookimpl
        def trunnion_observers(self):
            async def see(events) -> None:
                raise OSError("no eyes")

            yield Observer(name="blind", on_events=see)

    async with Hosting(plugins={"blind": Blind()}, commands=[shout], patience=0.5) as host:
        await host.invoke("t.shout")
        with pytest.raises(TimeoutError, match="observer 'blind' has not taken everything: OSError: no eyes"):
            await host.settle()


def test_a_line_that_was_rewritten_is_told_as_it_ended():
    def rewrite() -> None:
        """Rewrite a line, slowly enough to be seen."""
        for percent in range(0, 101, 25):
            print(f"\r{percent} %", end="")
            time.sleep(0.11)

    with Hosting(commands=[Command.of(rewrite, console="t")]) as host:
        run = host.invoke("t.rewrite")
        assert host.texts(run) == "100 %\n"
        assert len([e for e in host.events(run) if e.kind == "text"]) > 1

"""Loading: whatever one plugin does, the host goes on and says who it was."""

from __future__ import annotations

import gc
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from trunnion.config.selection import Selection
from trunnion.hookspecs import hookimpl
from trunnion.model.commands import Command
from trunnion.model.contributions import Console, Setting
from trunnion.model.errors import BrokenPlugin, InternalError, InvalidConfig
from trunnion.plugins.contained import Patience
from trunnion.plugins.hooks import ITEMS
from trunnion.plugins.load import load_plugins
from trunnion.plugins.plugin_set import PluginSet

HOST = {"host": SimpleNamespace()}
ALL = Selection()


def make(**functions: object) -> SimpleNamespace:
    """A plugin object; each function is marked as a hook."""
    return SimpleNamespace(**{name: hookimpl(value) for name, value in functions.items()})


def noop() -> None:
    pass


def good(command_id: str = "good.run") -> SimpleNamespace:
    return make(trunnion_commands=lambda settings: [Command(id=command_id, handler=noop)])


def load(given: object, selection: Selection = ALL, **options: object) -> PluginSet:
    return load_plugins(selection, builtins=HOST, given=given, discovery=False, **options)  # type: ignore[arg-type]


def state(plugins: PluginSet, name: str) -> tuple[str, str]:
    (record,) = [r for r in plugins.records if r.id == name]
    return record.state, record.reason


def commands(plugins: PluginSet) -> dict[str, list[str]]:
    return {c.plugin_id: [command.id for command in c.commands] for c in plugins.contributions({})}


def test_a_loaded_plugin_contributes_under_its_id() -> None:
    plugins = load({"good": good()})
    assert state(plugins, "good") == ("loaded", "")
    assert plugins.records[0].hooks == ("trunnion_commands",)
    assert commands(plugins) == {"host": [], "good": ["good.run"]}


def test_names_decide_the_order_and_built_ins_come_first() -> None:
    for given in ({"b": good("b.x"), "a": good("a.x")}, {"a": good("a.x"), "b": good("b.x")}):
        plugins = load_plugins(ALL, builtins={"zz": good("zz.x")}, given=given, discovery=False)
        assert list(commands(plugins)) == ["zz", "a", "b"]


class Nasty(Exception):
    def __str__(self) -> str:
        raise ValueError("no text for you")


KINDS = [
    ValueError("wrong"),
    SystemExit(3),
    KeyboardInterrupt(),
    BaseException("bare"),
    RecursionError("deep"),
    Nasty(),
]


@pytest.mark.parametrize("error", KINDS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("hook", sorted(ITEMS))
def test_h1_whatever_a_hook_raises_breaks_that_plugin_only(hook: str, error: BaseException) -> None:
    def raising() -> object:
        raise error

    plugins = load({"bad": make(**{hook: raising}), "good": good()})
    asked = [plugins.settings(), plugins.contributions({}), plugins.cli()]
    assert len(asked) == 3
    kind, reason = state(plugins, "bad")
    assert kind == "broken"
    assert hook in reason
    assert type(error).__name__ in reason
    assert plugins.loaded == ("host", "good")
    assert commands(plugins)["good"] == ["good.run"]


WRITTEN = """
class Nasty(Exception):
    def __str__(self):
        raise ValueError('no text for you')
"""
SPELLED = [
    "ValueError('x')",
    "SystemExit(1)",
    "KeyboardInterrupt()",
    "BaseException('bare')",
    "RecursionError()",
    "Nasty()",
]


@pytest.mark.parametrize("error", SPELLED)
def test_h1_whatever_an_import_raises_breaks_that_plugin_only(tmp_path: Path, error: str) -> None:
    (tmp_path / "bad.py").write_text(f"{WRITTEN if error == 'Nasty()' else ''}raise {error}\n")
    (tmp_path / "good.py").write_text(
        "from trunnion.hookspecs import hookimpl\n"
        "from trunnion.model.contributions import Command\n"
        "@hookimpl\ndef trunnion_commands(settings):\n    yield Command(id='file.run', handler=print)\n"
    )
    plugins = load({}, Selection(plugin_dirs=(tmp_path,)))
    kind, reason = state(plugins, "bad")
    assert kind == "broken"
    assert reason.startswith("plugin 'bad' at import: ")
    assert "(bad.py:" in reason
    assert commands(plugins) == {"host": [], "good": ["file.run"]}
    assert "trunnion_plugin_file_bad" not in sys.modules


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", KINDS, ids=lambda e: type(e).__name__)
def test_h1_whatever_is_raised_while_something_is_thrown_away_is_nothing_to_the_host(error: BaseException) -> None:
    gone = []

    class Dying:
        def __del__(self) -> None:
            gone.append(error)
            raise error

    def answers() -> object:
        one = Dying()
        yield Command(id="bad.run", handler=noop, validate=lambda args, held=one: None)

    plugins = load({"bad": make(trunnion_commands=answers), "good": good()})
    assert commands(plugins) == {"host": [], "bad": ["bad.run"], "good": ["good.run"]}
    del plugins
    gc.collect()
    assert gone == [error]
    assert commands(load({"good": good()})) == {"host": [], "good": ["good.run"]}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, "returned NoneType, expected an iterable of Command"),
        (3, "returned int, expected an iterable of Command"),
        ("x" * 100_000_000, "item 1 is str, expected Command"),
        ([Console(path="a")], "item 1 is Console, expected Command"),
        ([Command(id="a.b", handler=noop), object()], "item 2 is object, expected Command"),
        ([noop], "item 1 is function noop, expected Command: return commands_of(sys.modules[__name__])"),
    ],
    ids=["none", "int", "100 MB of text", "other descriptor", "second item", "function"],
)
def test_a_wrong_answer_withdraws_the_plugin_whole(answer: object, expected: str) -> None:
    bad = make(trunnion_commands=lambda: answer, trunnion_consoles=lambda: [Console(path="bad")])
    plugins = load({"bad": bad, "good": good()})
    assert commands(plugins) == {"host": [], "good": ["good.run"]}
    kind, reason = state(plugins, "bad")
    assert kind == "broken"
    assert expected in reason
    assert len(reason) < 1000


def test_an_endless_generator_is_cut_off() -> None:
    def endless() -> object:
        while True:
            yield Command(id="a.b", handler=noop)

    plugins = load({"bad": make(trunnion_commands=endless)})
    assert commands(plugins) == {"host": []}
    assert "more than 10000 items" in state(plugins, "bad")[1]


def test_a_generator_that_fails_midway_leaves_nothing() -> None:
    def midway() -> object:
        yield Command(id="a.b", handler=noop)
        raise ValueError("half done")

    plugins = load({"bad": make(trunnion_commands=midway)})
    assert commands(plugins) == {"host": []}
    assert "half done" in state(plugins, "bad")[1]


def test_h3_a_plugin_that_hangs_is_named_and_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()

    def hangs() -> object:
        release.wait()
        return []

    try:
        plugins = load(
            {"slow": make(trunnion_commands=hangs), "good": good()},
            patience=Patience(warn_after=0.02, give_up_after=0.1),
        )
        assert commands(plugins) == {"host": [], "good": ["good.run"]}
        assert "plugin 'slow' in trunnion_commands: still not done" in caplog.text
        assert "did not return within 0.1 s" in state(plugins, "slow")[1]
    finally:
        release.set()


def test_h3_without_the_fault(caplog: pytest.LogCaptureFixture) -> None:
    """One that returns is neither named nor left behind."""
    plugins = load({"slow": good()}, patience=Patience(warn_after=5, give_up_after=10))
    assert commands(plugins) == {"host": [], "slow": ["good.run"]}
    assert "still not done" not in caplog.text


def test_h3_without_the_defence_nobody_is_loaded() -> None:
    """With patience without end, one that hangs holds up everybody."""
    release, asked = threading.Event(), threading.Event()

    def hangs() -> object:
        asked.set()
        release.wait()
        return []

    def start() -> None:
        commands(load({"slow": make(trunnion_commands=hangs), "good": good()}, patience=Patience(100, 1000)))

    starting = threading.Thread(target=start)
    starting.start()
    try:
        assert asked.wait(10)
        starting.join(0.3)
        assert starting.is_alive()
    finally:
        release.set()
        starting.join()


def takes_unknown_parameter(settings: object, host: object) -> list[object]:
    return [settings, host]


async def is_async() -> list[object]:
    return []


@pytest.mark.parametrize(
    ("plugin", "expected"),
    [
        (make(trunnion_comands=lambda: []), "no hook trunnion_comands; did you mean 'trunnion_commands'"),
        (SimpleNamespace(trunnion_commands=lambda: []), "trunnion_commands is not marked with trunnion.hookimpl"),
        (make(trunnion_commands=takes_unknown_parameter), "host"),
        (make(trunnion_commands=is_async), "trunnion_commands is async"),
        (SimpleNamespace(trunnion_commands=hookimpl(wrapper=True)(lambda: (yield))), "is a wrapper"),
    ],
    ids=["unknown hook", "unmarked", "unknown parameter", "async", "wrapper"],
)
def test_h5_a_plugin_that_misuses_hooks_is_not_registered_at_all(plugin: SimpleNamespace, expected: str) -> None:
    plugin.trunnion_queries = hookimpl(lambda: pytest.fail("asked although it is broken"))
    plugins = load({"bad": plugin})
    kind, reason = state(plugins, "bad")
    assert kind == "broken"
    assert expected in reason
    assert plugins.loaded == ("host",)
    assert commands(plugins) == {"host": []}


def test_a_hook_of_a_later_host_may_be_marked_optional() -> None:
    plugin = good()
    plugin.trunnion_later = hookimpl(optionalhook=True)(lambda: [])
    plugins = load({"good": plugin})
    assert state(plugins, "good") == ("loaded", "")
    assert plugins.records[0].hooks == ("trunnion_commands",)


def test_the_same_object_twice_is_loaded_once() -> None:
    plugin = good()
    plugins = load({"a": plugin, "b": plugin})
    assert state(plugins, "a")[0] == "loaded"
    assert state(plugins, "b") == ("disabled", "the same object as plugin 'a'")
    assert list(commands(plugins)) == ["host", "a"]


@pytest.mark.parametrize("name", ["host", "executor", "Bad Name", ""])
def test_names_that_are_taken_or_no_names_are_refused_before_import(tmp_path: Path, name: str) -> None:
    plugins = load({name: good()})
    assert state(plugins, name)[0] == "broken"
    assert plugins.loaded == ("host",)


def test_a_module_without_a_name_of_its_own_gets_that_of_the_module() -> None:
    module = ModuleType("some.package.My_Tools")
    plugins = load([module])
    assert state(plugins, "my_tools")[0] == "loaded"


def test_h5_one_name_in_two_folders_is_refused_before_import(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "twin.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    plugins = load({}, Selection(plugin_dirs=(tmp_path / "one", tmp_path / "two")))
    assert [r.state for r in plugins.records] == ["broken", "broken"]
    assert all("one/twin.py" in r.reason and "two/twin.py" in r.reason for r in plugins.records)
    assert not (tmp_path / "ran").exists()


def test_what_is_not_selected_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "extra.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    for selection, reason in (
        (Selection(plugin_dirs=(tmp_path,), without=frozenset({"extra"})), "switched off by name"),
        (Selection(plugin_dirs=(tmp_path,), only=frozenset()), "not among the plugins selected"),
    ):
        assert state(load({}, selection), "extra") == ("disabled", reason)
    assert load({}, Selection(plugin_dirs=(tmp_path,), safe_mode=True)).records == ()
    assert not (tmp_path / "ran").exists()
    assert load({}, Selection(plugin_dirs=(tmp_path,))).records[0].state == "loaded"
    assert (tmp_path / "ran").exists()


def test_h12_safe_mode_loads_built_ins_only_even_of_what_is_given() -> None:
    plugins = load({"good": good()}, Selection(safe_mode=True, only=frozenset({"good"})))
    assert plugins.loaded == ("host",)
    assert state(plugins, "good") == ("disabled", "safe mode loads built-ins only")


def test_what_was_asked_for_must_be_there_and_work() -> None:
    broken = {"bad": make(trunnion_comands=lambda: [])}
    with pytest.raises(BrokenPlugin, match=r"plugin 'bad' cannot be used: .*trunnion_comands"):
        load(broken, Selection(only=frozenset({"bad"})))
    with pytest.raises(BrokenPlugin, match="'goood' was asked for but is not installed; did you mean 'good'"):
        load({"good": good()}, Selection(only=frozenset({"goood"})))
    with pytest.raises(BrokenPlugin, match="'bad' cannot be used"):
        load(broken, Selection(strict=True))
    late = load({"bad": make(trunnion_commands=lambda: None)}, Selection(strict=True))
    with pytest.raises(BrokenPlugin, match="in trunnion_commands"):
        late.contributions({})


def test_a_folder_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="nowhere"):
        load({}, Selection(plugin_dirs=(tmp_path / "nowhere",)))


def test_a_withdrawn_plugin_says_why_and_is_not_asked_again() -> None:
    plugins = load({"a": good("x.y"), "b": good("x.y")})
    plugins.withdraw("b", "command 'x.y' is taken by plugin 'a'")
    assert state(plugins, "b") == ("broken", "command 'x.y' is taken by plugin 'a'")
    assert list(commands(plugins)) == ["host", "a"]
    assert plugins.unloaded == ("b",)
    with pytest.raises(InternalError, match="'host'"):
        plugins.withdraw("host", "no")


def test_settings_are_judged_before_any_value_is_read() -> None:
    def of(*settings: Setting) -> SimpleNamespace:
        return make(trunnion_settings=lambda: settings)

    port = Setting(key="port", schema={"type": "integer", "default": 1})
    plugins = load(
        {
            "fine": of(port),
            "twice": of(port, port),
            "noschema": of(Setting(key="x", schema={"type": "integr"})),
            "remote": of(Setting(key="x", schema={"$ref": "http://127.0.0.1:9/schema"})),
            "default": of(Setting(key="x", schema={"type": "integer", "default": "one"})),
        }
    )
    assert plugins.settings() == {"fine": (port,)}
    for name, expected in (
        ("twice", "declared twice"),
        ("noschema", "not a valid JSON Schema"),
        ("remote", "not a valid JSON Schema"),
        ("default", "default does not fit"),
    ):
        assert expected in state(plugins, name)[1]


def test_a_hook_gets_its_own_copy_of_its_own_section() -> None:
    seen: dict[str, object] = {}

    def commands_hook(settings: dict[str, object]) -> list[Command]:
        seen.update(settings)
        settings["port"] = "changed"
        return []

    def queries_hook(settings: dict[str, object]) -> list[object]:
        seen["again"] = settings["port"]
        return []

    plugins = load({"a": make(trunnion_commands=commands_hook, trunnion_queries=queries_hook)})
    plugins.contributions({"a": {"port": 1}, "b": {"secret": "of another"}})
    assert seen == {"port": 1, "again": 1}

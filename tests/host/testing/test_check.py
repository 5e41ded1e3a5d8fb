"""The contract, broken in every way it can be: each is found and named."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from trunnion.kernel import parts
from trunnion.model.errors import InvalidArguments, NotFound
from trunnion.testing import Finding, Report, check_plugin, imports, living, words
from trunnion.testing.subject import find

HEAD = "from trunnion import *\nfrom trunnion import hookimpl\n"
SOUND = '''
from trunnion import Command, Setting, hookimpl

async def greet(name: str) -> str:
    """Greet somebody.

    Args:
        name: whom.
    """
    return f"hello {name}"

@hookimpl
def trunnion_settings():
    yield Setting(key="word", schema={"type": "string", "default": "hello", "description": "The word"})

@hookimpl
def trunnion_commands():
    yield Command.of(greet, console="sound")
'''


def check(folder: Path, source: str, name: str = "mine.py", **settings: object) -> Report:
    (folder / name).write_text(source)
    (report,) = check_plugin(str(folder / name), {Path(name).stem: settings} if settings else None)
    return report


def said(report: Report, level: str) -> str:
    return "\n".join(f"{f.check}: {f.text}" for f in report.findings if f.level == level)


def test_a_sound_plugin_passes(tmp_path):
    report = check(tmp_path, SOUND)
    assert report.ok
    assert (said(report, "error"), said(report, "warning")) == ("", "")
    assert "loads: hooks: commands, settings" in said(report, "ok")
    assert "started twice" in said(report, "ok")
    assert str(report).endswith("passed: 0 errors, 0 warnings")


# -- what stops it at once ------------------------------------------------------------------------

BROKEN = {
    "raises at import": ("raise RuntimeError('no wheel')", "no wheel"),
    "exits at import": ("import sys; sys.exit(3)", "SystemExit"),
    "no Python": ("def (", "SyntaxError"),
    "misspelt hook": ("@hookimpl\ndef trunnion_comands(): return []", "there is no hook trunnion_comands"),
    "unmarked hook": ("def trunnion_commands(): return []", "is not marked with trunnion.hookimpl"),
    "odd parameter": ("@hookimpl\ndef trunnion_commands(config): return []", "config"),
    "async hook": ("@hookimpl\nasync def trunnion_commands(): return []", "is async"),
    "wrapper": ("@hookimpl(wrapper=True)\ndef trunnion_commands(): return (yield)", "wrapper"),
    "settings of another type": ("@hookimpl\ndef trunnion_settings(): return ['word']", "expected Setting"),
    "schema that is none": (
        "@hookimpl\ndef trunnion_settings(): yield Setting(key='a', schema={'type': 'sting'})",
        "not a valid JSON Schema",
    ),
    "default that does not fit": (
        "@hookimpl\ndef trunnion_settings(): yield Setting(key='a', schema={'type': 'string', 'default': 3})",
        "default does not fit",
    ),
    "key twice": (
        "@hookimpl\ndef trunnion_settings(): return [Setting(key='a', schema={}), Setting(key='a', schema={})]",
        "declared twice",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_loaded_is_said_and_nothing_else_is_asked(tmp_path, name):
    source, fragment = BROKEN[name]
    report = check(tmp_path, HEAD + source + "\n")
    assert not report.ok
    assert fragment in said(report, "error")
    assert not [f for f in report.findings if f.check in ("starts", "stops", "imports")]


@pytest.mark.parametrize("name", ["Mine.py", "store.py"])
def test_a_name_no_plugin_can_have(tmp_path, name):
    report = check(tmp_path, SOUND, name)
    assert "its name must be" in said(report, "error") or "the host's own" in said(report, "error")


# -- what is found in a host ----------------------------------------------------------------------

STARTING = {
    "commands of another type": ("@hookimpl\ndef trunnion_commands(): return ['a']", "expected Command"),
    "raising hook": ("@hookimpl\ndef trunnion_queries(settings): return settings['none']", "KeyError"),
    "provider that fails": (
        "async def fail(host): raise OSError('no bus')\n"
        "@hookimpl\ndef trunnion_provides(): yield Provider(type=dict, open=fail)",
        "no bus",
    ),
    "daemon that fails": (
        "async def fail(host, ready): raise OSError('no bus')\n"
        "@hookimpl\ndef trunnion_daemons(): yield Daemon(name='bus', run=fail, on_crash='degrade')",
        "daemon bus is failed: OSError: no bus",
    ),
    "observer that fails": (
        "async def fail(events): raise OSError('no paper')\n"
        "@hookimpl\ndef trunnion_observers(): yield Observer(name='printer', on_events=fail)",
        "observer printer: OSError: no paper",
    ),
    "command of the host's": (
        "async def cancel(): 'Cancel.'\n@hookimpl\ndef trunnion_commands(): yield Command.of(cancel, console='runs')",
        "runs.cancel",
    ),
    "another command each time": (
        "import itertools\nnumbers = itertools.count()\nasync def f(): 'Do.'\n"
        "@hookimpl\ndef trunnion_commands(): yield Command.of(f, console='mine', name=f'c{next(numbers)}')",
        "commands differ at the second start: mine.c0, mine.c1",
    ),
    "a setting it cannot do without": (
        "@hookimpl\ndef trunnion_settings(): yield Setting(key='url', schema={'type': 'string'})\n"
        "@hookimpl\ndef trunnion_commands(settings): settings['url'].strip(); return []",
        "'NoneType' object has no attribute 'strip'",
    ),
    "stream that fits no name": (
        "@hookimpl\ndef trunnion_streams(): yield StreamSource(pattern='Loud Noise/*')",
        "stream 'Loud Noise/*' fits no name",
    ),
}


@pytest.mark.parametrize("name", STARTING)
def test_what_shows_only_in_a_host(tmp_path, monkeypatch, name):
    monkeypatch.setattr(living, "OBSERVING", 0.2)
    monkeypatch.setattr(imports, "at_load", lambda subject: ())
    source, fragment = STARTING[name]
    report = check(tmp_path, HEAD + source + "\n")
    assert fragment in said(report, "error"), report
    assert not report.ok


def test_a_setting_it_needs_can_be_given(tmp_path, monkeypatch):
    monkeypatch.setattr(imports, "at_load", lambda subject: ())
    assert check(tmp_path, HEAD + STARTING["a setting it cannot do without"][0] + "\n", url="x").ok


LEAKY = """
import threading
kept = []
@hookimpl
def trunnion_commands():
    kept.append(open(__file__))
    threading.Thread(target=threading.Event().wait, name="leaky", daemon=True).start()
    return []
"""


def test_what_is_left_behind_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(imports, "at_load", lambda subject: ())
    monkeypatch.setattr(living, "SETTLE", 0.1)
    errors = said(check(tmp_path, HEAD + LEAKY), "error")
    assert "thread 'leaky' goes on after the host has stopped" in errors
    assert "descriptors still open after the host has stopped: 1 more" in errors


STUBBORN = """
import asyncio
async def run(host, ready):
    ready()
    for _ in range(1000):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            go_on = True
@hookimpl
def trunnion_daemons():
    yield Daemon(name="stubborn", run=run)
"""


def test_who_does_not_stop_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(imports, "at_load", lambda subject: ())
    monkeypatch.setattr(parts, "STOP_GRACE", 0.4)
    monkeypatch.setattr(living, "SLOW_END", 0.3)
    assert "s to stop: end when cancelled" in said(check(tmp_path, HEAD + STUBBORN), "error")


def test_who_holds_up_the_loop_does_not_hold_up_the_check(tmp_path, monkeypatch):
    monkeypatch.setattr(imports, "at_load", lambda subject: ())
    monkeypatch.setattr(living, "PATIENCE", 0.3)
    source = (
        "import threading\nlet_go = threading.Event()\n"
        "async def run(host, ready): let_go.wait(10)\n"
        "@hookimpl\ndef trunnion_daemons(): yield Daemon(name='stuck', run=run)\n"
    )
    out = sys.stdout
    try:
        report = check(tmp_path, HEAD + source)
        assert "did not return within 0.3 s" in said(report, "error")
        assert sys.stdout is out
    finally:
        sys.modules["trunnion_plugin_file_mine"].let_go.set()
        for thread in threading.enumerate():
            if thread.name.startswith("load: a host with 'mine'"):
                thread.join(10)


# -- what it imports ------------------------------------------------------------------------------


def distribution(folder: Path, **modules: str) -> Path:
    """A folder that is a distribution with the plugin ``mine``, and modules beside it."""
    (folder / "src" / "mine").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "acme-mine"\nversion = "1.0"\n'
        '[project.entry-points."trunnion.plugins.v1"]\nmine = "mine.plugin"\n'
    )
    for name, source in {"mine/__init__": "", "mine/plugin": SOUND, **modules}.items():
        (folder / "src" / f"{name}.py").write_text(source)
    return folder


@pytest.fixture
def forget_mine():
    """Each test has a package ``mine`` of its own."""

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
            del sys.modules[name]

    forget()
    yield
    forget()


@pytest.mark.usefixtures("forget_mine")
def test_a_folder_is_checked_without_being_installed(tmp_path):
    before = list(sys.path)
    (report,) = check_plugin(str(distribution(tmp_path)))
    assert report.ok, report
    assert (report.plugin, report.distribution, report.version) == ("mine", "acme-mine", "1.0")
    assert sys.path == before


@pytest.mark.usefixtures("forget_mine")
def test_something_heavy_at_load_is_an_error_and_later_is_not(tmp_path):
    late = SOUND + "\n@hookimpl\ndef trunnion_queries():\n    import uvicorn\n    return []\n"
    modules = {"mine/plugin": "import helper\nimport prompt_toolkit\n" + late}
    modules |= dict.fromkeys(("helper", "prompt_toolkit", "uvicorn"), "")
    (report,) = check_plugin(str(distribution(tmp_path, **modules)))
    assert said(report, "error") == (
        "imports: it imports prompt_toolkit when it is loaded: import it in the function that needs it"
    )
    assert "brought helper, prompt_toolkit" in said(report, "note")


def test_a_slow_import_is_a_warning():
    (warning,) = [f for f in imports.judged(imports.Loaded(["mine"], 1.5), "mine") if f.level == "warning"]
    assert "took 1.5 s" in warning.text
    assert not [f for f in imports.judged(imports.Loaded(["mine"], 0.5), "mine") if f.level == "warning"]


def test_an_import_that_works_only_here_is_an_error(tmp_path):
    report = check(tmp_path, "import sys\nif 'pytest' not in sys.modules: sys.exit('no display')\n" + SOUND)
    assert "it cannot be imported in a fresh interpreter: no display" in said(report, "error")


@pytest.mark.parametrize(
    ("line", "level", "fragment"),
    [
        ("from trunnion import Command", "", ""),
        ("from trunnion.process import Keeper", "", ""),
        ("from trunnion import testing", "", ""),
        ("import trunnion", "", ""),
        ("from . import other", "", ""),
        ("from trunnion._version import VERSION", "error", "trunnion._version.VERSION is private"),
        ("from trunnion.host import _secret", "error", "is private to the host"),
        ("from trunnion import Kernel", "error", "trunnion has no public name Kernel"),
        ("from trunnion.model.commands import Command", "warning", "write: from trunnion import Command"),
        ("import trunnion.kernel.core", "warning", "it may move without notice"),
        ("def f():\n    from trunnion.kernel.core import Kernel", "warning", "may move"),
        ("import trunnion_scripts.library", "error", "plugins meet through commands"),
    ],
)
@pytest.mark.usefixtures("forget_mine")
def test_names_of_the_host(tmp_path, line, level, fragment):
    folder = distribution(tmp_path, **{"mine/deep": line + "\n"})
    (subject,) = find(str(folder))
    with subject.importable():
        found = [f for f in imports.of_the_host(subject) if f.level != "note"]
    assert [f.level for f in found] == ([level] if level else [])
    assert all(f.text.startswith("deep.py:") and fragment in f.text for f in found)


# -- what it says ---------------------------------------------------------------------------------

SPARSE = """
async def wipe(disk: str, *, fast: bool = False) -> None: ...
async def look(caller, limit: int = 3) -> None:
    "Look."
@hookimpl
def trunnion_settings():
    yield Setting(key="Odd Key", schema={"type": "string"})
@hookimpl
def trunnion_commands():
    yield Command.of(wipe, console="mine", effect="destroy", role="viewer", expose=frozenset({"web", "pigeon"}))
@hookimpl
def trunnion_queries():
    yield Query.of(look, console="mine")
"""


def test_what_is_left_unsaid_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(imports, "at_load", lambda subject: ())
    report = check(tmp_path, HEAD + SPARSE)
    assert report.ok
    warnings = said(report, "warning").splitlines()
    for fragment in (
        "setting 'Odd Key' is no name as others are",
        "setting 'Odd Key' has no description",
        "command mine.wipe has no title",
        "command mine.wipe has no description",
        "command mine.wipe: nothing says what 'disk' is",
        "command mine.wipe: nothing says what 'fast' is",
        "command mine.wipe destroys and asks nobody",
        "command mine.wipe changes something, and every viewer may run it",
        "query mine.look: nothing says what 'limit' is",
    ):
        assert any(fragment in line for line in warnings), (fragment, warnings)
    assert len(warnings) == 9
    assert "is exposed to pigeon" in said(report, "note")
    assert "(destroy) is open to viewers by pigeon, web" in said(report, "note")


def test_access_that_was_thought_of_is_no_warning():
    command = {"id": "a.b", "effect": "destroy", "confirm": "Really?", "role": "admin", "expose": []}
    assert list(words.of_access([command])) == []
    assert list(words.of_access([{**command, "effect": "read", "confirm": "", "role": "viewer"}])) == []


# -- what is meant --------------------------------------------------------------------------------


def test_a_distribution_or_an_entry_point():
    assert [r.plugin for r in check_plugin("trunnion_scripts")] == ["scripts"]
    with pytest.raises(NotFound, match="no installed plugin") as refused:
        check_plugin("trunnion-script")
    assert "trunnion-scripts" in refused.value.details["nearest"]


def test_a_folder_that_is_no_distribution(tmp_path):
    with pytest.raises(InvalidArguments, match=r"pyproject\.toml"):
        check_plugin(str(tmp_path))
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    with pytest.raises(InvalidArguments, match="no entry point in the group trunnion"):
        check_plugin(str(tmp_path))


def test_a_report_reads_well():
    report = Report(plugin="mine", origin="mine.plugin", findings=(Finding("loads", "error", "no wheel"),))
    assert str(report) == "plugin mine (mine.plugin)\n  error    loads: no wheel\nFAILED: 1 error, 0 warnings"

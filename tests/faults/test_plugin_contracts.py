"""H5, H6, H7, H9: plugins for another host, without what they need, of one name, or with answers of the wrong kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands_kit import opener
from faults_kit import Up
from plugins_kit import Broken, states

from trunnion import Command, Context, Event, Invocation, hookimpl
from trunnion.model.json import encode

MARK = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n"
SOUND = """
from trunnion import Command, hookimpl
def go() -> str:
    return "{name}"
@hookimpl
def trunnion_commands():
    return [Command.of(go, console="{console}")]
"""


HALF = """
@hookimpl
def trunnion_queries():
    from trunnion import Query
    return [Query.of(go, console="half")]
"""


class Installed(Broken):
    """A ground with distributions of its own."""

    def __init__(self, root: Path, seed: str) -> None:
        super().__init__(root, seed)
        self.site = root / "site"
        self.site.mkdir()

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(PYTHONPATH=str(self.site), **more)

    def distribution(self, name: str, code: str, *, generation: int = 1, plugin: str = "") -> None:
        """Install a plugin as a distribution of one module."""
        info = self.site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[trunnion.plugins.v{generation}]\n{plugin or name} = {name}\n")
        (self.site / f"{name}.py").write_text(code)

    def ran(self) -> set[str]:
        return {path.stem for path in self.site.glob("*.ran")}


@pytest.fixture
def installed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Installed]:
    ground = Installed(tmp_path, request.node.name)
    yield ground
    ground.close()


def works(ground: Broken, host: Up, command: str) -> str:
    """What a command of a sound plugin says."""
    done = ground.run("run", command)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in host.said()
    return done.stdout.strip()


# -- H5 ---------------------------------------------------------------------------------------------

WRONG = {
    "parameter": "def trunnion_commands(no_such_thing):",
    "hook": "def trunnion_comands():",
    "async": "async def trunnion_commands():",
}


def refused(ground: Installed) -> list[str]:
    """Install one plugin of each kind; which of them must not have run."""
    ground.distribution("tomorrow", MARK + SOUND.format(name="x", console="tomorrow"), generation=2)
    for name in ("twin_one", "twin_two"):
        ground.distribution(name, MARK + SOUND.format(name=name, console="twin"), plugin="twin")
    ground.distribution("lacks", "import no_such_library\n" + SOUND.format(name="x", console="lacks"))
    for name, head in WRONG.items():
        source = SOUND.format(name="x", console=name).replace("def trunnion_commands():", head)
        ground.distribution(f"wrong_{name}", source + HALF)
    ground.distribution("sound", SOUND.format(name="sound", console="sound"))
    return ["tomorrow", "twin_one", "twin_two"]


def test_h5_plugins_for_another_host(installed: Installed, figure: Callable[..., None]) -> None:
    """Refused before any of their code runs where the manifest tells, else named; nothing of them is registered."""
    silent = refused(installed)
    host = installed.up()
    found = states(installed)
    assert found["tomorrow"][0] == "incompatible"
    assert "v2" in found["tomorrow"][1]
    assert found["twin"][0] == "broken"
    assert all(name in found["twin"][1] for name in ("twin_one", "twin_two"))
    assert found["lacks"][0] == "broken"
    assert "no_such_library" in found["lacks"][1]
    assert {name: found[f"wrong_{name}"][0] for name in WRONG} == dict.fromkeys(WRONG, "broken")
    assert not installed.ran() & set(silent)
    assert works(installed, host, "sound.go") == "sound"
    for command in ("tomorrow.go", "twin.go", "lacks.go", *(f"{name}.go" for name in WRONG)):
        assert installed.run("run", command).returncode == 5
    assert installed.run("query", "half.go").returncode == 5
    figure("plugins refused", len(WRONG) + 3)
    figure("that ran although the manifest told", 0)
    assert host.stop() == 0


def test_h5_without_the_fault_each_of_them_works(installed: Installed) -> None:
    for name in ("tomorrow", "twin_one", "lacks"):
        installed.distribution(name, MARK + SOUND.format(name=name, console=name))
    host = installed.up()
    assert [works(installed, host, f"{name}.go") for name in ("tomorrow", "twin_one", "lacks")] == [
        "tomorrow", "twin_one", "lacks"]  # fmt: skip
    assert installed.ran() == {"tomorrow", "twin_one", "lacks"}
    assert host.stop() == 0


def test_h5_without_the_defence_their_code_runs_and_half_of_one_stays(installed: Installed) -> None:
    silent = refused(installed)
    host = installed.up(without="load_first,take_half")
    assert installed.ran() >= set(silent)
    assert installed.run("query", "half.go").returncode == 0
    host.kill()


# -- H7 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["alpha", "zeta"])
def test_h7_two_plugins_claim_one_command(installed: Installed, first: str) -> None:
    """The later name loses, whole and with both named, in whatever order they were installed."""
    for name in (first, "zeta" if first == "alpha" else "alpha"):
        installed.distribution(name, SOUND.format(name=name, console="claimed"))
    host = installed.up()
    found = states(installed)
    assert found["alpha"] == ("loaded", "")
    assert found["zeta"][0] == "broken"
    assert "alpha" in found["zeta"][1]
    assert "claimed.go" in found["zeta"][1]
    assert works(installed, host, "claimed.go") == "alpha"
    assert host.stop() == 0


# -- H9 ---------------------------------------------------------------------------------------------

ANSWERS = {
    "text": "return 'abc'",
    "number": "return 7",
    "none": "return [None]",
    "mapping": "return {'a': 1}",
    "large": "return ['x' * (64 << 20)]",
    "endless": "while True:\n        yield Command.of(go, console='endless', name=f'n{next(count)}')",
    "midway": "yield Command.of(go, console='midway')\n    raise RuntimeError('midway')",
    "title": "return [Command.of(go, console='title', title='x' * (64 << 20))]",
}


def test_h9_hooks_that_return_what_they_must_not(installed: Installed, figure: Callable[..., None]) -> None:
    for name, answer in ANSWERS.items():
        source = f"from itertools import count as counting\ncount = counting()\n{SOUND.format(name=name, console=name)}"
        source = source.replace(f'return [Command.of(go, console="{name}")]', answer)
        installed.distribution(f"answers_{name}", source)
    installed.distribution("sound", SOUND.format(name="sound", console="sound"))
    host = installed.up()
    found = states(installed)
    wrong = {name: found[f"answers_{name}"] for name in ANSWERS if name != "title"}
    assert {name: state for name, (state, _) in wrong.items()} == dict.fromkeys(wrong, "broken")
    assert all(reason and len(reason) < 2_000 for _, reason in wrong.values())
    assert works(installed, host, "sound.go") == "sound"
    figure("answers", len(ANSWERS))
    figure("ready after", round(host.ready_after, 2), "s")
    assert host.stop() == 0


# -- H6 ---------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_h6_what_is_handed_out_cannot_be_changed(tmp_path: Path) -> None:
    """An observer and a handler that try find frozen events and descriptors; what others read is what was said."""
    tried: list[str] = []

    def spoil(thing: object, name: str) -> None:
        try:
            setattr(thing, name, "spoilt")
        except AttributeError:
            tried.append(f"{type(thing).__name__}.{name}")

    @hookimpl
    def trunnion_commands() -> list[Command]:
        return [Command.of(go, console="t", lock=None)]

    def go(ctx: Context) -> str:
        ctx.echo("as it was said")
        return "done"

    async with opener(tmp_path)(given=SimpleNamespace(trunnion_commands=trunnion_commands)) as host:
        door, caller = host.door("cli"), host.local_caller()
        run = await door.submit(caller, Invocation(command_id="t.go"))
        run = await door.wait(caller, run.id)
        before = encode(run)
        events: list[Event] = [e async for batch in door.follow(caller, f"run/{run.id}") for e in batch]
        for event in events:
            spoil(event, "text")
            spoil(event, "seq")
        spoil(run, "status")
        spoil(caller, "role")
        spoil(host.kernel.registry.command("t.go").command, "role")
        again = [e async for batch in door.follow(caller, f"run/{run.id}") for e in batch]
        assert [e.text for e in again if e.kind == "text"] == ["as it was said\n"]
        assert encode(await door.get(caller, run.id)) == before
        body = door.meta(caller).body
        assert isinstance(body, bytes)
    assert {"Event.text", "Event.seq", "Run.status", "Caller.role", "Command.role"} <= set(tried)

"""Real processes: a host in one, the launcher in others, and a plugin of one file."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import behind_kit
import far_kit
import pexpect
import pytest
from faults_kit import TAG, tagged

PROGRAM = [sys.executable, "-c", "from trunnion.launcher.main import main; main()"]
PATIENCE = 20

PLUGIN = '''
"""Commands for the tests: each does one thing a launcher has to show."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from trunnion import Secret
from trunnion.hookspecs import hookimpl
from trunnion.kernel.context import Context
from trunnion.model.commands import Query, command, commands_of
from trunnion.model.errors import CommandFailed


@command(console="demo", examples=("demo.greet Ada --loud",))
def greet(name: str = "you", *, loud: bool = False, tone: Literal["kind", "cool"] = "kind") -> str:
    """Greet somebody.

    Args:
        name: whom to greet.
        loud: shout.
        tone: how it is said: warmly, or
            as to a stranger.
    """
    print("looking for", name)
    return f"hello {name}".upper() if loud else f"hello {name}"


@command(console="demo", lock=None)
async def nap(ctx: Context, until: str = "") -> None:
    """Sleeps until a file is there."""
    ctx.echo("asleep")
    while not (until and Path(until).exists()):
        await asyncio.sleep(0.01)
    ctx.echo("awake")


@command(console="demo", lock=None)
async def stubborn(ctx: Context) -> None:
    """Does not end for being cancelled once."""
    ctx.echo("asleep")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        ctx.echo("one moment")
        await asyncio.sleep(60)


@command(console="demo")
async def show(ctx: Context) -> dict:
    """Shows a bit of everything."""
    for step in range(5):
        ctx.progress(step, 4, "copying")
        await asyncio.sleep(0.06)
    print("to stdout")
    print("to stderr", file=sys.stderr)
    ctx.log("careful", "warning")
    ctx.table([["a", 1], ["b", 2]], ["name", "n"], "Things")
    ctx.data({"x": 1})
    return {"bytes": 11}


@command(console="demo")
def fail(code: int = 0) -> None:
    if code:
        raise CommandFailed("no space on the tape")
    raise ValueError("a defect")


@command(console="demo", lock=None)
async def pack(ctx: Context) -> str:
    """Keeps a file and says its id."""
    return (await ctx.artifact("report.csv", b"a,b", "text/csv")).id


@command(console="demo", complete={"car": "demo.cars"})
def move(car: str, log: Path = Path("log")) -> str:
    return car


def cars() -> list:
    return [{"value": "bug", "title": "A beetle"}, {"value": "van\\nplain,rm", "title": "breaks the line"}]


@command(console="demo")
def nasty() -> None:
    print("\\x1b]0;owned\\x07\\x1b[2J\\x1b[31mred\\x1b[0m \\u202eevil")


@command(console="demo")
def unlock(*, code: Annotated[str, Secret()]) -> int:
    return len(code)


@command(console="demo", timeout=0.2)
async def late() -> None:
    await asyncio.sleep(60)


def count(n: int = 1) -> dict:
    return {"n": n}


@hookimpl
def trunnion_commands(settings):
    return commands_of(sys.modules[__name__])


@hookimpl
def trunnion_queries(settings):
    return [Query.of(count, console="demo"), Query.of(cars, console="demo")]
'''


CONFIG = """
[host]
data_dir = "data"
[plugins]
dir = ["plugins"]
only = ["demo"]
[executor]
cancel_grace = 0.3
"""


class Place:
    """One data directory, and the program on it; ``more`` are plugins beside the one all tests have."""

    program = PROGRAM

    def __init__(self, root: Path, **more: str) -> None:
        self.root = root
        self.data = root / "data"
        self.config = root / "trunnion.toml"
        self.config.write_text(CONFIG.replace('["demo"]', json.dumps(["demo", *more])))
        (root / "plugins").mkdir()
        for name, code in {"demo": PLUGIN, **more}.items():
            (root / "plugins" / f"{name}.py").write_text(code)
        # Hundreds of short processes: with bytecode kept they start in a third of the time.
        dropped = ("TRUNNION", "_TRUNNION", "PYTHONDONTWRITEBYTECODE")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        self.env = {**kept, "XDG_CONFIG_HOME": str(root / "xdg"), "TERM": "xterm", "COLUMNS": "100"}
        self.env["TRUNNION_CONFIG"] = str(self.config)
        self.processes: list[subprocess.Popen] = []

    def run(self, *args: str, env: dict[str, str] | None = None) -> SimpleNamespace:
        """Run the program to its end."""
        done = subprocess.run(
            [*PROGRAM, *args],
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**self.env, **(env or {})},
            cwd=self.root,
        )
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    def json(self, *args: str) -> object:
        done = self.run(*args)
        assert done.code == 0, done
        return json.loads(done.out)

    def popen(self, *args: str, nofile: int = 0, measured: bool = True) -> subprocess.Popen:
        """Start the program, its output in pipes; ``nofile`` limits its descriptors.

        Where it is not ``measured``, its first moments are its own: while coverage is imported there, before any of
        ours, an interrupt is swallowed.
        """
        env = self.env if measured else {k: v for k, v in self.env.items() if not k.startswith("COVERAGE_")}
        limit = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({nofile}, {nofile})); "
        process = subprocess.Popen(
            [*PROGRAM[:-1], (limit if nofile else "") + PROGRAM[-1], *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd=self.root,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def spawn(self, *args: str) -> pexpect.spawn:
        """Run the program on a terminal."""
        return pexpect.spawn(
            PROGRAM[0],
            [*PROGRAM[1:], *args],
            env=self.env,
            cwd=str(self.root),
            timeout=PATIENCE,
            encoding="utf-8",
            dimensions=(40, 200),
        )

    def up(self, *args: str, nofile: int = 0) -> subprocess.Popen:
        """Start a host and wait until it says that it is up."""
        process = self.popen(*args, "up", nofile=nofile)
        line = process.stdout.readline()
        assert "is up on" in line, line + process.stderr.read()
        return process

    def close(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.communicate()


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def make_shared(tmp_path_factory):
    """Makes a place with a running host, a configuration that is changed so, and plugins of the module's own."""
    with contextlib.ExitStack() as stack:

        def make(change: Callable[[str], str] = str, /, **more: str) -> Place:
            made = Place(tmp_path_factory.mktemp("shared"), **more)
            made.config.write_text(change(made.config.read_text()))
            stack.callback(made.close)
            made.host = made.up()
            return made

        yield make


@pytest.fixture(scope="module")
def shared(make_shared):
    """A place with a running host, for tests that leave it as it is."""
    return make_shared()


@pytest.fixture(scope="module")
def far(make_shared):
    """One with its door for gRPC open, which may be taken for a host elsewhere."""
    return far_kit.settle(make_shared(far_kit.with_door, far=far_kit.PLUGIN))


@pytest.fixture
def here(place, monkeypatch):
    """A place whose configuration this process, being in front, uses too."""
    place.tag = f"b{os.getpid()}{os.urandom(6).hex()}"
    place.config.write_text(behind_kit.CONFIG)
    odd = place.root / "plugins" / "odd.py"
    place.odd = lambda at_import="": odd.write_text(behind_kit.ODD.format(at_import=at_import))
    place.odd()
    for name, value in {"TRUNNION_CONFIG": str(place.config), TAG: place.tag}.items():
        monkeypatch.setenv(name, value)
    place.env[TAG] = place.tag
    monkeypatch.chdir(place.root)
    yield place
    for pid in tagged(place.tag).keys() - {os.getpid()}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

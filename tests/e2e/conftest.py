"""Real processes: a host in one, the launcher in others, and a plugin of one file."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pexpect
import pytest

PROGRAM = [sys.executable, "-c", "from trunnion.launcher.main import main; main()"]
PATIENCE = 20

PLUGIN = '''
"""Commands for the tests: each does one thing a launcher has to show."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Literal

from trunnion.hookspecs import hookimpl
from trunnion.kernel.context import Context
from trunnion.model.contributions import Query, command, commands_of
from trunnion.model.errors import CommandFailed


@command(console="demo", examples=("demo.greet Ada --loud",))
def greet(name: str = "you", *, loud: bool = False, tone: Literal["kind", "cool"] = "kind") -> str:
    """Greet somebody.

    Args:
        name: whom to greet.
        loud: shout.
        tone: how.
    """
    print("looking for", name)
    return f"hello {name}".upper() if loud else f"hello {name}"


@command(console="demo", lock=None)
async def nap(ctx: Context, seconds: float = 60, mark: str = "") -> None:
    ctx.echo("asleep")
    if mark:
        Path(mark).write_text("asleep")
    await asyncio.sleep(seconds)
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


@command(console="demo")
def nasty() -> None:
    print("\\x1b]0;owned\\x07\\x1b[2J\\x1b[31mred\\x1b[0m \\u202eevil")


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
    return [Query.of(count, console="demo")]
'''


class Place:
    """One data directory, and the program on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        plugins = root / "plugins"
        plugins.mkdir()
        (plugins / "demo.py").write_text(PLUGIN)
        self.base = ["--data-dir", str(self.data)]
        self.start = ["--plugin-dir", str(plugins), "--only", "demo"]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRUNNION", "_TRUNNION"))}
        self.env = {**kept, "XDG_CONFIG_HOME": str(root / "xdg"), "TERM": "xterm", "COLUMNS": "100"}
        self.hosts: list[subprocess.Popen] = []

    def run(self, *args: str, start: bool = False, **more: object) -> SimpleNamespace:
        """Run the program to its end; ``start`` passes what a host that starts needs."""
        command = [*PROGRAM, *self.base, *(self.start if start else ()), *args]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=PATIENCE, env=self.env, cwd=self.root, **more
        )
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    def json(self, *args: str, **more: object) -> object:
        done = self.run(*args, **more)
        assert done.code == 0, done
        return json.loads(done.out)

    def popen(self, *args: str, start: bool = False, **more: object) -> subprocess.Popen:
        command = [*PROGRAM, *self.base, *(self.start if start else ()), *args]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, stdout=pipe, stderr=pipe, text=True, env=self.env, cwd=self.root, start_new_session=True, **more
        )
        self.hosts.append(process)
        return process

    def spawn(self, *args: str, start: bool = False) -> pexpect.spawn:
        """Run the program on a terminal."""
        command = [*PROGRAM[1:], *self.base, *(self.start if start else ()), *args]
        return pexpect.spawn(
            PROGRAM[0], command, env=self.env, cwd=str(self.root), timeout=PATIENCE, encoding="utf-8",
            dimensions=(40, 200),
        )  # fmt: skip

    def up(self, *args: str) -> subprocess.Popen:
        """Start a host and wait until it says that it is up."""
        process = self.popen(*args, "up", start=True)
        line = process.stdout.readline()
        assert "is up on" in line, line + process.stderr.read()
        return process

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
            time.sleep(0.01)

    def close(self) -> None:
        for process in self.hosts:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.communicate()


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A place with a running host, for tests that leave it as it is."""
    made = Place(tmp_path_factory.mktemp("shared"))
    made.host = made.up()
    yield made
    made.close()

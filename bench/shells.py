"""Hosts of their own to open shells on, and bare programs on prompt_toolkit to open beside them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.terminals import Terminal

STOP_TIMEOUT = 60.0

PLUGIN = '''
from trunnion import Command, Context, hookimpl

LINES = 1000

async def noop() -> None:
    """Do nothing."""

async def say(word: str) -> None:
    """Print one line."""
    print(f"said {word}")

def flood(lines: int) -> None:
    """Print short lines, one by one."""
    for number in range(lines):
        print(f"line {number}")

def pour(ctx: Context, lines: int) -> None:
    """The same in blocks, as the output of programs comes."""
    for first in range(0, lines, LINES):
        ctx.text("".join(f"line {number}\\n" for number in range(first, min(lines, first + LINES))))

async def other() -> None:
    """Be one of many."""

@hookimpl
def trunnion_commands(settings):
    given = [Command.of(handler, console="bench", lock=None) for handler in (noop, say, flood, pour)]
    return given + [Command.of(other, console="", name=f"item{number}") for number in range(OTHERS)]
'''

PROMPT = """
import asyncio
from prompt_toolkit import PromptSession
async def main():
    session = PromptSession()
    while True:
        print("said", await session.prompt_async("> "), flush=True)
asyncio.run(main())
"""
"""Says each line again."""

PRINTER = """
import asyncio, sys
from prompt_toolkit import PromptSession
from prompt_toolkit.patch_stdout import patch_stdout
def flood(lines):
    for number in range(lines):
        print("line", number)
    print("succeeded")
async def main():
    session = PromptSession()
    with patch_stdout():
        while True:
            line = await session.prompt_async("> ")
            asyncio.get_running_loop().run_in_executor(None, flood, int(line))
asyncio.run(main())
"""
"""Prints so many lines above its prompt, from a thread."""

WRITER = """
import os, sys
BLOCK = 64 << 10
made = {}
for line in sys.stdin:
    if line not in made:
        made[line] = b"".join(b"line %d\\n" % number for number in range(int(line))) + b"succeeded\\n"
    data = memoryview(made[line])
    while data:
        data = data[os.write(1, data[:BLOCK]) :]
"""
"""Writes so many lines to its terminal and does nothing else."""

COMPLETER = """
import sys
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
words = WordCompleter([f"item{number}" for number in range(OTHERS)])
PromptSession(completer=words, complete_while_typing=True).prompt("> ")
"""

EMPTY = "from prompt_toolkit import PromptSession\nPromptSession().prompt('> ')"
"""Asks for one line."""


class Ground:
    """A running host, durable against the death of its process, and whoever comes to it.

    Args:
        folder: its own.
        others: commands it has beside those of the benchmark.
    """

    def __init__(self, folder: Path, others: int = 0) -> None:
        self.folder = folder
        # Terminals answer where the cursor is; this one has nobody who would.
        self.environ = {
            "HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PROMPT_TOOLKIT_NO_CPR": "1",
        }  # fmt: skip
        plugins = folder / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "bench.py").write_text(PLUGIN.replace("OTHERS", str(others)), encoding="utf-8")
        self._options = ["--data-dir", str(folder / "data"), "--plugin-dir", str(plugins), "--only", "bench,tty"]
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """Of the host."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Ground:
        settings = ("executor.max_output_lines=0", "executor.max_output_bytes=0", "tty.background_lines=100000")
        options = [*self._options, *(word for setting in settings for word in ("--set", setting))]
        self._process = subprocess.Popen(
            [_script(), *options, "up"], cwd=self.folder, env=self.environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if "is up" not in line:
            raise RuntimeError(f"trunnion up said {line!r} {self._process.communicate()[1]!r}")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=STOP_TIMEOUT)

    def shell(self) -> Terminal:
        """``trunnion shell`` on this host."""
        return self._terminal([_script(), "--data-dir", str(self.folder / "data"), "shell"])

    def bare(self, code: str) -> Terminal:
        """A program of Python's, without a host."""
        return self._terminal([sys.executable, "-c", code])

    def bash(self) -> Terminal:
        """The system's shell."""
        return self._terminal(["/bin/bash", "--norc", "--noprofile", "-i"])

    def _terminal(self, command: Sequence[str]) -> Terminal:
        return Terminal(command, self.environ, self.folder)


@contextmanager
def grounds(folder: Path, others: int) -> Iterator[tuple[Ground, Ground]]:
    """A host with few commands and one with many."""
    with Ground(folder / "few") as few, Ground(folder / "many", others) as many:
        yield few, many


def _script() -> str:
    return str(Path(sysconfig.get_path("scripts")) / "trunnion")

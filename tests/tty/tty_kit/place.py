"""A data directory with odd commands, its host, and shells on terminals."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tty_kit.terminal import PATIENCE, Terminal

from trunnion.protocol.client import Client

T = TypeVar("T")
HERE = Path(__file__).parent
LAUNCHER = "from trunnion.launcher.main import main; main()"
CONFIG = """
[host]
data_dir = "data"

[plugins]
dir = [{plugins}]
only = {only}

[executor]
cancel_grace = 1.0
shutdown_grace = 1.0
max_output_lines = {most}

[tty]
aliases = {{ greet = "odd.hello --loud" }}
background_lines = 200
completion_timeout = 0.3
{tty}
"""
PROMPT = re.compile(r"> $")
OWN_PROMPT = re.compile(r"[$>] $")
WITHIN = re.compile(r"^\.\.\. |> ")


class Shell(Terminal):
    """A shell on a terminal."""

    def ready(self, patience: float = PATIENCE) -> Shell:
        """Wait until a line may be typed."""
        self.until(lambda terminal: PROMPT.search(terminal.line), patience)
        return self

    def do_here(self, line: str) -> None:
        """Do a line in a console whose prompt is its own, and wait for the next prompt of any kind."""
        self.start(line)
        self.until(lambda terminal: OWN_PROMPT.search(terminal.line))

    def rest(self) -> None:
        """Bring it to an empty line in the main console."""
        self.until(lambda terminal: WITHIN.search(terminal.line))
        if not PROMPT.search(self.line):
            self.key("c-c")
            self.ready()
        while ":" in self.line:
            self.do("back")

    def do(self, line: str, *, until: str | re.Pattern[str] | None = None, patience: float = PATIENCE) -> str:
        """Wait for the prompt, type a line, and wait for the next prompt or for something to be seen before.

        Returns:
            What was shown below the line.
        """
        self.ready(patience)
        self.start(line)
        if until is None:
            self.ready(patience)
            return self.text()
        return self.until(until, patience)

    def start(self, line: str, *, wait: bool = True) -> None:
        """Type a line and Enter, and wait until that was taken; only what comes after it counts from then on."""
        self.type(line)
        self.until(lambda terminal: terminal.line.endswith(line[-4:]))
        self.mark()
        self.key("enter")
        if wait:
            self.until(lambda terminal: not terminal.line.endswith(line[-4:]))


class Place:
    """One data directory.

    Args:
        root: an empty folder.
        tty: more lines of the section ``[tty]``.
        only: the plugins of its host.
        most: lines that are kept of a run.
        env: more of its environment.
    """

    def __init__(
        self,
        root: Path,
        *,
        tty: str = "",
        only: Sequence[str] = ("odd", "tty"),
        most: int = 2_000_000,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.root = root
        self.data = root / "data"
        self.socket = self.data / "run" / "host.sock"
        self.config = root / "trunnion.toml"
        self.config.write_text(CONFIG.format(plugins=f'"{HERE / "plugins"}"', tty=tty, only=list(only), most=most))
        self.host: subprocess.Popen[str] | None = None
        self.shells: list[Terminal] = []
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TRUNNION", "_TRUNNION", "PYTHONDONTWRITEBYTECODE", "NO_COLOR"))
            and name not in ("COLUMNS", "LINES", "TMUX", "COLORTERM")
        }
        self.env = {
            **kept,
            "TRUNNION_CONFIG": str(self.config),
            "XDG_CONFIG_HOME": str(root / "xdg"),
            "XDG_STATE_HOME": str(root / "state"),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            **(env or {}),
        }

    @property
    def history(self) -> Path:
        """Where shells keep their history."""
        return self.root / "state" / "trunnion" / "shell_history"

    # -- hosts ------------------------------------------------------------------------------------

    def up(self) -> Place:
        """Start a host and wait until it says that it is up."""
        self.host = subprocess.Popen(
            self.command("up"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=(self.root / "host.err").open("ab"),
            text=True,
            env=self.env,
            cwd=self.root,
            start_new_session=True,
        )
        assert self.host.stdout is not None
        line = self.host.stdout.readline()
        assert "is up on" in line, line + (self.root / "host.err").read_text()
        return self

    def kill(self) -> None:
        """SIGKILL to the host."""
        assert self.host is not None
        self.host.kill()
        self.host.wait()

    def talk(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Do something over a connection of one's own."""

        async def connected() -> T:
            async with await Client.connect(self.socket) as client:
                return await work(client)

        return asyncio.run(connected())

    def runs(self, **filters: object) -> list[Mapping[str, object]]:
        """What the host has on record, the newest first."""
        page = self.talk(lambda client: client.query("runs.list", {"limit": 1000, **filters}))  # type: ignore[dict-item]
        return page["items"]  # type: ignore[call-overload, index, return-value]

    # -- shells -----------------------------------------------------------------------------------

    def command(self, *args: str, program: str = LAUNCHER) -> list[str]:
        """The program's command line."""
        return [sys.executable, "-c", program, *args]

    def shell(
        self,
        *args: str,
        program: str = LAUNCHER,
        size: tuple[int, int] = (30, 100),
        env: Mapping[str, str] | None = None,
    ) -> Shell:
        """Open a shell on a terminal of its own."""
        command = self.command("shell", *args, program=program)
        shell = Shell(command, env={**self.env, **(env or {})}, cwd=self.root, size=size)
        self.shells.append(shell)
        return shell

    def batch(
        self, *args: str, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell without a terminal to its end."""
        return self.run("shell", *args, stdin=stdin, env=env)

    def run(
        self, *args: str, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the program without a terminal to its end."""
        return subprocess.run(
            self.command(*args),
            input=stdin,
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**self.env, **(env or {})},
            cwd=self.root,
        )

    # -- the end ----------------------------------------------------------------------------------

    def close_shells(self, but: int = 0) -> None:
        """End all shells but the first ones."""
        while len(self.shells) > but:
            self.shells.pop().close()

    def close(self) -> None:
        """End everything."""
        self.close_shells()
        if self.host is not None:
            self.host.send_signal(signal.SIGKILL)
            self.host.wait()
            assert self.host.stdout is not None
            self.host.stdout.close()

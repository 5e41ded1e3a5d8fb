"""``shell.run``: a line for the system's own shell. The one place where text becomes a shell's command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import msgspec

from trunnion.builtin.control import HostControl
from trunnion.kernel.context import Context
from trunnion.model.commands import Command
from trunnion.model.errors import CommandFailed, InvalidArguments
from trunnion.model.json import Json

if TYPE_CHECKING:
    from trunnion.process import Spawn

LONGEST = 30_000
"""Characters of a line: in UTF-8 they fit into what Linux takes as one word of a program, 128 KiB."""

STOP_GRACE = 2.0
"""Seconds that whoever cancels waits at most for what ignores SIGTERM."""

SHELL = "/bin/sh"
"""Where the host's environment names no shell."""

Line = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)]


class ShellCommand:
    """Runs lines as whoever owns the data directory could type them elsewhere: for them alone, and on record."""

    def __init__(self, control: HostControl) -> None:
        self._control = control

    def commands(self) -> list[Command]:
        """The one there is."""
        return [
            Command.of(
                self.run,
                console="shell",
                title="Run a line in the shell of the system",
                examples=("shell.run 'df -h | sort'",),
                role="admin",
                local=True,
                effect="destroy",
                lock=None,
                validate=problem,
            )
        ]

    async def run(self, ctx: Context, line: Line) -> dict[str, Json]:
        """Run a line in the shell of the system, in the folder you are in, as the user of the host.

        Its standard input is empty, and it sees few of the host's variables. What it leaves in the background ends
        with it, and all of it when the run is cancelled. A status other than 0 fails the run.

        Args:
            line: as one would type it; the shell is the host's $SHELL, else /bin/sh.
        """
        from trunnion.kernel.programs import run_program
        from trunnion.process import SpawnFailed

        try:
            spawn = spawn_of(line, self._folder(ctx.run.cwd), os.environ)
            return await run_program(ctx, spawn, stop_grace=STOP_GRACE)
        except SpawnFailed as error:
            if error.cause != "bad_cwd":
                raise
            text = f"nothing was run: the folder you are in, {error.details['path']}, cannot be entered; go to another"
            raise CommandFailed(text, error.details) from error

    def _folder(self, caller: str | None) -> str:
        """Where the caller is; of one who did not say, where the host is."""
        if caller is not None:
            if not caller.startswith("/"):
                raise InvalidArguments(f"the folder you are in is said as an absolute path, not as {caller!r}")
            return caller
        try:
            return os.getcwd()  # noqa: PTH109
        except FileNotFoundError:
            return str(self._control.describe()["data_dir"])


def spawn_of(line: str, folder: str, environ: Mapping[str, str]) -> Spawn:
    """What the keeper is to start. Pure.

    Args:
        line: for the shell.
        folder: absolute.
        environ: the host's own environment.
    """
    from trunnion.kernel.programs import passed
    from trunnion.process import Spawn

    said = environ.get("SHELL", "")
    shell = said if said.startswith("/") else SHELL
    text = f" {line}" if line.startswith(("-", "+")) else line  # options may follow -c: this is none
    return Spawn(argv=(shell, "-c", text), env={**passed(environ), "SHELL": shell}, cwd=folder)


def problem(values: Mapping[str, object]) -> str | None:
    """What no shell could be given, for the refusal before anything runs."""
    line = str(values["line"])
    if "\0" in line:
        return "line holds a NUL character, which no program can be given"
    return None if line.strip() else "line is blank"

"""What the shell needs of whoever is in front of it: a person at a terminal, or a file of lines."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Protocol

from trunnion import Console, Event, Json
from trunnion.launcher.screen import Screen
from trunnion_tty.jobs import Job
from trunnion_tty.settings import Theme


class Face(Protocol):
    """In front of the shell.

    Attributes:
        screen: where the shell's own words go.
    """

    screen: Screen

    async def events(self, job: Job, batch: Sequence[Event]) -> None:
        """Show what a job says; returns once there is room for more."""

    def ended(self, job: Job) -> None:
        """A job has ended or is lost; one in the background announces itself."""

    def tell_end(self, job: Job) -> None:
        """Show what came of a job that was waited for."""

    def value(self, value: Json) -> None:
        """Show the answer of a query."""

    def banner(self, console: Console) -> None:
        """Show what a console says when it is entered."""

    def theme(self, name: Theme) -> None:
        """Change colours."""

    async def may_leave(self) -> bool:
        """Whether the shell may end; the person may be asked to say so once more."""

    async def secret(self, name: str) -> str:
        """Ask for a secret.

        Raises:
            InvalidArguments: nobody is there to ask.
            EOFError: the person would not say.
        """

    async def agrees(self, question: str) -> bool:
        """Ask for consent; where nobody is there to ask, whoever wrote the line has given it."""

    async def keyboard(self) -> signal.Signals:
        """The next Ctrl-C or Ctrl-Z."""

    def attend(self) -> None:
        """From now on those are about what is being waited for."""

    def dismiss(self) -> None:
        """Nobody waits any more."""

    def clear(self) -> None:
        """Make the screen empty."""

    def earlier(self, count: int) -> list[str]:
        """Lines of history, oldest first."""

"""The shell without a person who sees it drawn: lines from a file or a pipe, or from a terminal that can do nothing.

Output is that of ``trunnion run``: what commands print on standard output, all else on standard error, a run in the
background marked line by line.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from trunnion import Console, Event, InvalidArguments, Json, Unavailable
from trunnion.launcher.attend import tell_end
from trunnion.launcher.render import Renderer
from trunnion.launcher.screen import Screen
from trunnion.launcher.views import show_value
from trunnion.rendering import PLAIN, Palette, tagged
from trunnion_tty.about_runs import announced
from trunnion_tty.jobs import Job
from trunnion_tty.lines import is_unfinished
from trunnion_tty.settings import Theme
from trunnion_tty.signals import Signals


class BatchScreen(Screen):
    """Standard output and error of a shell that nobody sees drawn.

    Args:
        plain: draw and colour nothing, even at a terminal that could.
    """

    def __init__(self, *, plain: bool = False, out: TextIO | None = None, err: TextIO | None = None) -> None:
        super().__init__(out=out, err=err)
        self._plain = plain

    @property
    def draws(self) -> bool:
        """Whether something can be drawn that does not stay."""
        return not self._plain and super().draws

    def palette(self, *, error: bool = False) -> Palette:
        """The colours of standard output or standard error."""
        return PLAIN if self._plain else super().palette(error=error)

    def another(self) -> BatchScreen:
        """One that has shown nothing yet."""
        return BatchScreen(plain=self._plain, out=self._out, err=self._err)

    def tagged(self, tag: str) -> Screen:
        """One that marks each line with the run it belongs to."""
        return _TaggedScreen(tag, plain=self._plain, out=self._out, err=self._err)


class _TaggedScreen(BatchScreen):
    def __init__(self, tag: str, *, plain: bool, out: TextIO, err: TextIO) -> None:
        super().__init__(plain=plain, out=out, err=err)
        self._tag = f"{tag}| "

    @property
    def draws(self) -> bool:
        """Nothing is drawn of what runs behind."""
        return False

    def err(self, text: str) -> None:
        """Write to standard error, marked."""
        super().err(tagged(text, self._tag))

    def put(self, text: str, *, error: bool = False) -> None:
        """Write what is rendered, marked."""
        super().put(tagged(text, self._tag), error=error)


class BatchFace:
    """See ``face.Face``.

    Args:
        screen: standard output and error.
        signals: what comes from the keyboard.
        artifacts: the folder of kept files.
    """

    def __init__(self, screen: BatchScreen, signals: Signals, artifacts: Path | None = None) -> None:
        self.screen: Screen = screen
        self._screen = screen
        self._signals = signals
        self._artifacts = artifacts
        self._renderers: dict[str, tuple[bool, Renderer]] = {}
        self._quiet: dict[str, Screen] = {}

    async def events(self, job: Job, batch: Sequence[Event]) -> None:
        """Show what a job says."""
        renderer = self._renderer(job)
        for event in batch:
            renderer.show(event)

    def ended(self, job: Job) -> None:
        """A job has ended; one in the background says so."""
        _, renderer = self._renderers.pop(job.run.id, (True, None))
        if renderer is not None:
            renderer.close()
        if not job.foreground:
            self.screen.note(announced(job))

    def tell_end(self, job: Job) -> None:
        """Show what came of a job that was waited for."""
        if job.lost:
            return
        tell_end(self._quiet.pop(job.run.id, self.screen), job.run)

    def value(self, value: Json) -> None:
        """Show the answer of a query."""
        show_value(self.screen, value)

    def banner(self, console: Console) -> None:
        """Nobody looks at one."""

    def theme(self, name: Theme) -> None:
        """Nothing is coloured here."""

    async def may_leave(self) -> bool:
        """Whoever wrote the line has thought about it."""
        return True

    async def secret(self, name: str) -> str:
        """Nobody is there to ask."""
        raise InvalidArguments(
            f"{name} is secret and nobody is there to ask: say {name}=env:VARIABLE or {name}=file:PATH"
        )

    async def agrees(self, question: str) -> bool:
        """Whoever wrote the line does."""
        return True

    async def keyboard(self) -> signal.Signals:
        """The next Ctrl-C."""
        return await self._signals.next()

    def attend(self) -> None:
        """From now on Ctrl-C is about what is being waited for."""
        self._signals.attend()

    def dismiss(self) -> None:
        """Nobody waits any more."""
        self._signals.dismiss()

    def clear(self) -> None:
        """There is no screen."""

    def earlier(self, count: int) -> list[str]:
        """There is no history but the file itself."""
        return []

    def _renderer(self, job: Job) -> Renderer:
        """One for each job, another one when it goes to the background or comes from there."""
        foreground, renderer = self._renderers.get(job.run.id, (not job.foreground, None))
        if renderer is None or foreground != job.foreground:
            if renderer is not None:
                renderer.close()
            screen = self._quiet[job.run.id] = self._screen.another()
            shown = screen if job.foreground else self._screen.tagged(job.tag)
            renderer = Renderer(shown, artifacts=self._artifacts)
            self._renderers[job.run.id] = (job.foreground, renderer)
        return renderer


class Typed:
    """Statements from a stream, as they come: several lines for one that goes on. Signals are served meanwhile.

    Args:
        stream: where lines come from.
        prompt: what asks for one; ``""`` where nobody is there to be asked.

    Attributes:
        goes_on: whether a text is no whole statement yet.
    """

    def __init__(self, stream: TextIO, prompt: str = "") -> None:
        self._lines = _Lines(stream)
        self._prompt = prompt
        self._held = ""
        self.waiting = False
        self.goes_on: Callable[[str], bool] = is_unfinished

    async def next(self) -> str | None:
        """The next statement, None at the end.

        Raises:
            Unavailable: what comes is no text.
        """
        while True:
            line = await self._line()
            self._held += line
            if not line and not self._held:
                self._leave()
                return None
            if not line or not self.goes_on(self._held.rstrip("\n")):
                text, self._held = self._held.rstrip("\n"), ""
                return text

    def forget(self) -> None:
        """Want no more of what was typed so far, and ask anew."""
        self._held = ""
        self._ask("\n")

    async def _line(self) -> str:
        self.waiting = True
        self._ask()
        try:
            return await self._lines.next()
        finally:
            self.waiting = False

    def _leave(self) -> None:
        """What follows is not to stand behind the prompt."""
        if self._prompt:
            sys.stderr.write("\n")
            sys.stderr.flush()

    def _ask(self, before: str = "") -> None:
        if self._prompt:
            sys.stderr.write(before + ("... " if self._held else self._prompt))
            sys.stderr.flush()


class _Lines:
    """Reads one line at a time in a thread of its own: the loop goes on, and no more is read than is asked for."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._wanted = threading.Semaphore(0)
        self._answer: asyncio.Future[str] | None = None
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, name="trunnion shell: lines", daemon=True).start()

    async def next(self) -> str:
        """The next line with its end, ``""`` at the end.

        Raises:
            Unavailable: what comes is no text.
        """
        self._answer = self._loop.create_future()
        self._wanted.release()
        return await self._answer

    def _read(self) -> None:
        line = "\n"
        while line:
            self._wanted.acquire()
            problem = None
            try:
                line = self._stream.readline()
            except UnicodeDecodeError as error:
                line, problem = "", Unavailable(f"what is typed is no text: {error}")
            except (OSError, ValueError):  # closed
                line = ""
            self._loop.call_soon_threadsafe(self._give, line, problem)

    def _give(self, line: str, problem: Unavailable | None) -> None:
        if self._answer is None or self._answer.done():
            return
        if problem is not None:
            self._answer.set_exception(problem)
        else:
            self._answer.set_result(line)

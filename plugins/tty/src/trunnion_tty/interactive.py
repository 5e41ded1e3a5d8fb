"""The shell in front of a person: a prompt, output above it, and a bar below."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.styles import BaseStyle

from trunnion import Console, Event, Json, TrunnionError
from trunnion.launcher.screen import Screen
from trunnion.rendering import EventRenderer, Live, Palette, bar, fold, palette_of, tagged, visible
from trunnion_tty import terminal
from trunnion_tty.completing import Question, answered
from trunnion_tty.display import Display
from trunnion_tty.history import HistoryFile
from trunnion_tty.jobs import Job
from trunnion_tty.link import Health, Link
from trunnion_tty.listing import announced
from trunnion_tty.look import bar_of, one_line, prompt_of, style_of
from trunnion_tty.prompting import Prompt
from trunnion_tty.reading import Place
from trunnion_tty.settings import Theme
from trunnion_tty.shell import Shell
from trunnion_tty.signals import Signals
from trunnion_tty.terminal_out import Printed, TerminalOut
from trunnion_tty.throttle import Throttle

RESULT_LINES = 40
"""Lines of a result that are shown; ``jobs result`` shows all."""

NOTICE_EVERY = 1.0
"""Seconds between two notices of lines that were held back."""

BAR = 30
"""Columns of a run's progress in the bar."""

TOLD_AFTER = 2.0
"""Seconds without an answer after which the host is said to be busy, beside the bar."""


class ShellScreen(Screen):
    """The shell's own words, in its colours."""

    def __init__(self, stream: TextIO, theme: Callable[[], Theme]) -> None:
        super().__init__(out=stream, err=stream)
        self._theme = theme

    def palette(self, *, error: bool = False) -> Palette:
        """The colours of the theme."""
        return palette_of(self._theme(), os.environ, is_terminal=True)

    def note(self, text: str) -> None:
        """One line of what the shell itself has to say."""
        self.put(self.palette().paint("muted", visible(text)) + "\n", error=True)

    def error(self, code: str, message: str, details: Mapping[str, Json]) -> None:
        """What went wrong, in one line."""
        self.put(f"{self.palette().paint('error', 'error:')} {visible(message)}\n", error=True)


class InteractiveFace:
    """See ``face.Face``; also the surroundings of the prompt, and where values for completion come from.

    Args:
        link: the line to the host.
        host: what the host is called in the bar.
        theme: colours the person asked for; None takes those configured.
        history: earlier lines.
        stdin, stdout: the terminal.
    """

    def __init__(
        self, link: Link, host: str, theme: Theme | None, history: HistoryFile, stdin: TextIO, stdout: TextIO
    ) -> None:
        self._link = link
        self._host = host
        self._theme = theme
        self._history = history
        self._fd = stdout.fileno()
        out = TerminalOut(stdout, self._terminal_gone)
        self.display = Display(out.say)
        self.screen: Screen = ShellScreen(Printed(self.display.put, out), self._current_theme)  # type: ignore[arg-type]
        self.signals = Signals(self._clear_line, self._end)
        self.prompt_line = Prompt(self, self, history, stdin, out, colours=bool(self.screen.palette()))  # type: ignore[arg-type]
        self._renderers: dict[str, EventRenderer] = {}
        self._throttles: dict[str, Throttle] = {}
        self._notices: dict[str, asyncio.TimerHandle] = {}
        self._shell: Shell | None = None
        self._main = asyncio.current_task()
        self._warned = False
        self.ended_by: signal.Signals | None = None
        self.owns_host = False

    # -- the prompt -------------------------------------------------------------------------------

    def attach(self, shell: Shell) -> None:
        """The shell this is in front of."""
        self._shell = shell

    @property
    def shell(self) -> Shell:
        """The shell this is in front of."""
        assert self._shell is not None
        return self._shell

    async def read(self) -> str:
        """The next line of the person.

        Raises:
            EOFError: there will be none.
        """
        with self.display.asking(self.prompt_line):
            text = await self.prompt_line.ask()
        self._warned = self._warned and not text.strip()
        return text

    def place(self) -> Place:
        """See ``prompting.Surroundings``."""
        return self.shell.place()

    def prompt(self) -> StyleAndTextTuples:
        """See ``prompting.Surroundings``."""
        catalog = self._link.catalog
        title = one_line(catalog.console("").title) or "trunnion"
        console = catalog.console(self.shell.console)
        return prompt_of(console, self._link.principal, self._host, len(self.shell.jobs.active), title)

    def toolbar(self) -> StyleAndTextTuples:
        """See ``prompting.Surroundings``."""
        recording = self.shell.recording
        lives = [one_line(live) for live in self.display.lives]
        shown = str(recording.name) if recording is not None else ""
        jobs = len(self.shell.jobs.active)
        return bar_of(self._host, self._link.health, jobs, lives, shown, self.columns()[1])

    def style(self) -> BaseStyle:
        """See ``prompting.Surroundings``."""
        theme: Theme = self._current_theme() if self.screen.palette() else "mono"
        return style_of(theme, self._link.catalog.console(self.shell.console))

    def columns(self) -> tuple[int, int]:
        """See ``prompting.Surroundings``."""
        return terminal.size(self._fd)

    def pasted_too_much(self, size: int) -> None:
        """See ``prompting.Surroundings``."""
        self.screen.note(f"{size} characters are no line: put them in a file, and let source or an argument name it")

    async def answers(self, question: Question) -> list[tuple[str, str]]:
        """See ``completer.Values``."""
        if question.source.startswith(":"):
            return self._own_values(question.source)
        client, patience = self._link.client, self._link.catalog.settings.completion_timeout
        words = list(question.words)
        params = {"command_id": question.name, "words": words, "incomplete": question.typed}
        try:
            async with asyncio.timeout(patience):
                if question.prefix:
                    return answered(await client.query(question.source))
                return answered(await client.call("command.complete", params))
        except (TrunnionError, TimeoutError):
            return []

    async def here(self, line: str) -> list[tuple[str, str]]:
        """See ``completer.Values``."""
        try:
            async with asyncio.timeout(self._link.catalog.settings.completion_timeout):
                return answered(await self.shell.offered(line))
        except (TrunnionError, TimeoutError):
            return []

    def _own_values(self, source: str) -> list[tuple[str, str]]:
        catalog, console = self._link.catalog, self.shell.console
        if source == ":jobs":
            return [(str(job.number), f"{job.run.command_id} {job.run.status}") for job in self.shell.jobs]
        if source == ":consoles":
            below = [(_relative(c.path, console), c.title) for c in catalog.below(console)]
            return below + [(path, c.title) for path, c in catalog.consoles.items() if path]
        names = [(found.shown, found.entry.title) for found in catalog.names(console)]
        verbs = [(name, verb.title) for name, verb in self.place().verbs.items()]
        return names if source == ":commands" else names + verbs

    # -- what jobs say ----------------------------------------------------------------------------

    async def events(self, job: Job, batch: Sequence[Event]) -> None:
        """Show what a job says: whole where it is waited for, else marked and no more than can be read."""
        renderer = self._renderer(job)
        for event in batch:
            made = renderer.render(event)
            if made.live is not None:
                self._draw_live(job, made.live)
            if made.text:
                self._draw_live(job, None)
                self._show(job, made.text)
        await self.display.room()

    def _draw_live(self, job: Job, live: Live | None) -> None:
        """What a job is at: a line of its own where it is waited for, else a few words in the bar."""
        if job.foreground:
            drawn = bar(live, self.columns()[1] - 1, self.screen.palette()) if live is not None else ""
            self.display.front(drawn)
        else:
            self.display.live(job.run.id, f"{job.tag} {bar(live, BAR)}" if live is not None else "")

    def _show(self, job: Job, text: str) -> None:
        job.has_output = True
        if job.foreground:
            self.display.put(text)
            return
        throttle = self._throttles.get(job.run.id)
        if throttle is None:
            throttle = self._throttles[job.run.id] = Throttle(self._link.catalog.settings.background_lines)
        loop = asyncio.get_running_loop()
        shown = throttle.admit(text, loop.time())
        if shown:
            self.display.put(tagged(shown, self._tag(job)))
        if throttle.held and job.run.id not in self._notices:
            self._notices[job.run.id] = loop.call_later(NOTICE_EVERY, self._tell_held, job)

    def _tell_held(self, job: Job) -> None:
        timer = self._notices.pop(job.run.id, None)
        if timer is not None:
            timer.cancel()
        throttle = self._throttles.get(job.run.id)
        held = throttle.told() if throttle is not None else 0
        if held:
            text = self.screen.palette().paint("muted", f"… {held} lines more; jobs follow {job.number} shows all")
            self.display.put(self._tag(job) + text)

    def ended(self, job: Job) -> None:
        """A job has ended or is lost; one in the background announces itself."""
        self._tell_held(job)
        self._throttles.pop(job.run.id, None)
        self._renderers.pop(job.run.id, None)
        self._draw_live(job, None)
        if not job.foreground:
            self.display.put(self._end_line(job, announced(job)))

    def tell_end(self, job: Job) -> None:
        """Show what came of a job that was waited for."""
        run, palette = job.run, self.screen.palette()
        if run.result is not None and run.status == "succeeded":
            folded = fold(run.result, width=self.screen.width(), lines=RESULT_LINES, palette=palette)
            self.display.put(folded.text)
            if not folded.is_whole:
                self.screen.note(f"jobs result {job.number or run.id} shows all of it")
        if run.error is not None and run.status != "succeeded":
            self.screen.error(run.error.code, run.error.message, run.error.details)
        if not job.lost:
            took = f" after {(run.finished - run.started) / 1e6:.3g} s" if run.finished and run.started else ""
            self.display.put(self._end_line(job, f"{run.status.replace('_', ' ')}{took}, run {job.tag}"))

    def _end_line(self, job: Job, text: str) -> str:
        failed = bool(job.lost) or job.run.status in ("failed", "timed_out", "interrupted")
        role = "error" if failed else "success" if not job.foreground else "muted"
        return self.screen.palette().paint(role, visible(text))

    def value(self, value: Json) -> None:
        """Show the answer of a query."""
        self.display.put(fold(value, width=self.screen.width(), lines=400, palette=self.screen.palette()).text)

    def _renderer(self, job: Job) -> EventRenderer:
        renderer = self._renderers.get(job.run.id)
        if renderer is None:
            states = self._link.catalog.settings.show_states
            renderer = EventRenderer(self.screen.palette(), self.screen.width, states=states)
            self._renderers[job.run.id] = renderer
        return renderer

    def _tag(self, job: Job) -> str:
        return self.screen.palette().paint("tag", f"{job.tag}│") + " "

    # -- the person -------------------------------------------------------------------------------

    def banner(self, console: Console) -> None:
        """Show what a console says when it is entered."""
        self.screen.out(console.banner.rstrip("\n") + "\n")

    def theme(self, name: Theme) -> None:
        """Change colours, from the next line on."""
        self._theme = name

    async def secret(self, name: str) -> str:
        """Ask for a secret."""
        with self.display.asking(self.prompt_line):
            return await self.prompt_line.hidden(f"{one_line(name)}: ")

    async def agrees(self, question: str) -> bool:
        """Ask for consent."""
        with self.display.asking(self.prompt_line):
            answer = await self.prompt_line.plain(f"{one_line(question)} [y/N] ")
        return answer.strip().lower() in ("y", "yes")

    async def may_leave(self) -> bool:
        """Whether the shell may end: of runs that end with its host the person is told once."""
        active = len(self.shell.jobs.active)
        if not self.owns_host or not active or self._warned or self.ended_by is not None:
            return True
        self._warned = True
        runs = "1 run is" if active == 1 else f"{active} runs are"
        self.screen.note(f"{runs} under way on the host that ends with this shell; once more to leave all the same")
        return False

    async def keyboard(self) -> signal.Signals:
        """The next Ctrl-C or Ctrl-Z."""
        return await self.signals.next()

    def attend(self) -> None:
        """From now on those are about what is being waited for."""
        self.signals.attend()

    def dismiss(self) -> None:
        """Nobody waits any more."""
        self.signals.dismiss()

    def clear(self) -> None:
        """Make the screen empty."""
        self.display.put("\x1b[H\x1b[2J")

    def earlier(self, count: int) -> list[str]:
        """Lines of history, oldest first."""
        return self._history.get_strings()[-count:] if count > 0 else []

    # -- what happens by itself -------------------------------------------------------------------

    def on_health(self, before: Health, now: Health) -> None:
        """The host fares otherwise: the bar says so, and a line if it lasts."""
        if now.state == "gone" and before.state != "gone":
            self.screen.put(self.screen.palette().paint("error", f"the host is gone: {visible(now.why)}") + "\n")
        elif now.state == "busy" and before.lag < TOLD_AFTER <= now.lag:
            text = f"the host has not answered for {now.lag:.0f} s; runs and this shell go on waiting for it"
            self.screen.put(self.screen.palette().paint("warning", text) + "\n")
        elif now.state == "up" and (before.state == "gone" or before.lag >= TOLD_AFTER):
            self.screen.note("the host answers again")

    def _clear_line(self) -> bool:
        if not self.prompt_line.asking:
            return False
        self.prompt_line.clear()
        return True

    def _end(self, number: signal.Signals) -> None:
        if self.ended_by is None:
            self.ended_by = number
            if self._main is not None:
                self._main.cancel()

    def _terminal_gone(self) -> None:
        self._end(signal.SIGHUP)

    def _current_theme(self) -> Theme:
        return self._theme or self._link.catalog.settings.theme


async def converse(face: InteractiveFace, shell: Shell) -> int:
    """Take lines until the person leaves; returns the exit status."""
    with terminal.quiet(face._fd), face.signals:
        try:
            while not shell.leaving:
                try:
                    text = await face.read()
                except EOFError:
                    await shell.quit()
                else:
                    await shell.perform(text)
        except asyncio.CancelledError:
            if face.ended_by is None:
                raise
            return 128 + face.ended_by
        finally:
            face.display.flush()
    return 0


def _relative(path: str, console: str) -> str:
    return path.removeprefix(f"{console}.") if console else path

"""The shell in front of a person: a prompt, output above it, and a bar below."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from typing import TextIO, cast

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.styles import BaseStyle

from trunnion import Console, Event, Json
from trunnion.launcher.screen import Screen
from trunnion.rendering import Palette, palette_of, visible
from trunnion_tty import terminal
from trunnion_tty.display import Display
from trunnion_tty.history import HistoryFile, default_path
from trunnion_tty.hosting import Hosting
from trunnion_tty.lines import last_statement
from trunnion_tty.link import Health, Link
from trunnion_tty.look import bar_of, hint_of, painted, prompt_of, style_of
from trunnion_tty.offering import Offers
from trunnion_tty.oneline import hanging, one_line
from trunnion_tty.prompting import Prompt
from trunnion_tty.reading import Place
from trunnion_tty.reporter import Reporter
from trunnion_tty.settings import Theme
from trunnion_tty.shell import Shell
from trunnion_tty.signals import Signals
from trunnion_tty.terminal_out import Printed, TerminalOut
from trunnion_tty.where import Where

ASKED_FOR = 0.5
"""Seconds in which the host has to say what else runs on it before the shell that started it leaves."""

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
        self.put(self.palette().paint("muted", hanging(visible(text))) + "\n", error=True)

    def error(self, code: str, message: str, details: Mapping[str, Json]) -> None:
        """What went wrong; in one line, unless whoever says it has more of them."""
        self.put(f"{self.palette().paint('error', 'error:')} {hanging(visible(message))}\n", error=True)


class InteractiveFace:
    """See ``face.Face``; also the surroundings of the prompt, and where values for completion come from.

    Args:
        link: the line to the host.
        own: what becomes of the host.
        where: the host, whose name stands in the bar.
        theme: colours the person asked for; None takes those configured.
        stdin, stdout: the terminal.
    """

    def __init__(
        self, link: Link, own: Hosting, where: Where, theme: Theme | None, stdin: TextIO, stdout: TextIO
    ) -> None:
        self._link = link
        self._own = own
        self._where = where
        self._host = where.name
        self._theme = theme
        self._fd = stdout.fileno()
        self._stdin = stdin
        self._out = TerminalOut(stdout, self._terminal_gone)
        self.display = Display(self._out.say)
        self.screen: Screen = ShellScreen(cast(TextIO, Printed(self.display.put, self._out)), self._current_theme)
        self.signals = Signals(self._clear_line, self._end, self._out.let_go)
        self._reporter = Reporter(link, self.display, self.screen, where.artifacts)
        self.events, self.ended = self._reporter.events, self._reporter.ended
        self.tell_end, self.value = self._reporter.tell_end, self._reporter.value
        self._shell: Shell | None = None
        self._prompt: Prompt | None = None
        self._main = asyncio.current_task()
        self._warned = False
        self.ended_by: signal.Signals | None = None

    # -- the prompt -------------------------------------------------------------------------------

    def attach(self, shell: Shell, *, keep_history: bool) -> None:
        """The shell this is in front of, once the host has said how it is to be."""
        self._shell = shell
        path = default_path() if keep_history else None
        self._history = HistoryFile(path, self._link.catalog.settings.history_lines)
        colours = bool(self.screen.palette())
        self._prompt = Prompt(self, Offers(self._link, shell), self._history, self._stdin, self._out, colours=colours)

    @property
    def prompt_line(self) -> Prompt:
        """Where the person types."""
        assert self._prompt is not None
        return self._prompt

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
        self.signals.forget()
        with self.display.asking(self.prompt_line):
            return await self.prompt_line.ask()

    async def done(self, text: str) -> None:
        """Do what was read, and remember it, unless a secret may stand in it."""
        warned = self._warned
        try:
            await self.shell.perform(text)
        finally:
            if warned and text.strip():
                self._warned = False  # that was about leaving just then
            if not self.shell.shows_secret:
                self._history.keep()

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
        hint = hint_of(last_statement(self.prompt_line.typed).line, self.place())
        return bar_of(self._host, self._link.health, jobs, lives, shown, hint, self.columns()[1])

    def style(self) -> BaseStyle:
        """See ``prompting.Surroundings``."""
        theme: Theme = self._current_theme() if self.screen.palette() else "mono"
        return style_of(theme, self._link.catalog.console(self.shell.console))

    def columns(self) -> tuple[int, int]:
        """See ``prompting.Surroundings``."""
        return terminal.size(self._fd)

    def interrupted(self) -> None:
        """See ``prompting.Surroundings``."""
        self.signals.tell(signal.SIGINT)

    def pasted_too_much(self, size: int) -> None:
        """See ``prompting.Surroundings``."""
        self.screen.note(f"{size} characters are no line: put them in a file, and let source or an argument name it")

    # -- the person -------------------------------------------------------------------------------

    def banner(self, console: Console) -> None:
        """Show what a console says when it is entered."""
        look = console.style.get("banner", "") if self.screen.palette() else ""
        self.screen.put(painted(visible(console.banner.rstrip("\n")) + "\n", look))

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
        if not self._own.started or self._warned or self.ended_by is not None:
            return True
        mine = len(self.shell.jobs.active)
        others = max(0, await self._link.live_runs(ASKED_FOR) - mine)
        if not mine and not others:
            return True
        self._warned = True
        runs = "1 run is" if mine + others == 1 else f"{mine + others} runs are"
        where = "on the host that ends with this shell" + (f", {others} from elsewhere" if others else "")
        self.screen.note(f"{runs} under way {where}; once more to leave all the same")
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
        is_own = self._own.started or self._own.has_ended  # of those it is told otherwise
        if now.state == "gone" and before.state != "gone" and not is_own:
            self.screen.put(self.screen.palette().paint("error", f"the host is gone: {visible(now.why)}") + "\n")
        elif now.state == "busy" and before.lag < TOLD_AFTER <= now.lag:
            text = f"the host has not answered for {now.lag:.0f} s; runs and this shell go on waiting for it"
            self.screen.put(self.screen.palette().paint("warning", text) + "\n")
        elif now.state == "up" and (before.state == "gone" or (before.state == "busy" and before.lag >= TOLD_AFTER)):
            self.screen.note("the host answers again")

    def on_own_host(self, text: str) -> None:
        """What became of the host this shell has started."""
        self.screen.put(self.screen.palette().paint("error", visible(text)) + "\n")

    def welcome(self) -> None:
        """Say where the person is, and which plugins are not."""
        catalog = self._link.catalog
        whose = ", started by this shell" if self._own.started else ""
        self.screen.note(f"trunnion {catalog.host.get('version')} {self._where.told}{whose}; try help")
        for unusable in catalog.unusable:
            self.screen.put(f"{self.screen.palette().paint('warning', 'host:')} {visible(unusable)}\n")
        for name in sorted(catalog.settings.aliases.keys() & self.shell.verbs.keys()):
            self.screen.note(f"[tty.aliases] {name} is not used: it is a word of the shell itself")

    def on_notice(self, event: Event) -> None:
        """Something operators should know: it is about the host, not about a run of this shell."""
        palette = self.screen.palette()
        self.screen.put(f"{palette.paint(event.level, 'host:')} {visible(event.text)}\n")

    def _clear_line(self) -> bool:
        if self._prompt is None or not self._prompt.asking:
            return False
        self._prompt.clear()
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
    with face.signals:
        try:
            while not shell.leaving:
                try:
                    text = await face.read()
                except EOFError:
                    await shell.acting.quit()
                else:
                    await face.done(text)
        except asyncio.CancelledError:
            if face.ended_by is None:
                raise
            return 128 + face.ended_by
        finally:
            face.display.flush()
    return 0

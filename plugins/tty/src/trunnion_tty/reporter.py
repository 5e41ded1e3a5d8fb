"""What runs say, on its way to the terminal: whole where somebody waits, else marked and as much as can be read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from trunnion import Event, Json
from trunnion.launcher.render import path_below
from trunnion.launcher.screen import Screen
from trunnion.model.events import LOG, STATE
from trunnion.model.programs import says_no_more
from trunnion.model.status import TERMINAL
from trunnion.rendering import EventRenderer, Live, bar, fold, tagged, visible
from trunnion_tty import terminal
from trunnion_tty.about_runs import after, announced
from trunnion_tty.answers import shown
from trunnion_tty.display import Display
from trunnion_tty.jobs import Job
from trunnion_tty.link import Link
from trunnion_tty.throttle import Throttle

RESULT_LINES = 40
"""Lines of a result that are shown; ``jobs result`` shows all."""

NOTICE_EVERY = 1.0
"""Seconds between two notices of lines that were held back."""

CANCELLING = "run.cancel_requested"

BAR = 30
"""Columns of a run's progress in the bar."""


class Reporter:
    """See ``jobs.Watcher``.

    Args:
        link: whose settings say how much is shown.
        display: where lines go.
        screen: for colours, and for the shell's own words.
        artifacts: the folder of kept files, None where it is not on this machine.
    """

    def __init__(self, link: Link, display: Display, screen: Screen, artifacts: Path | None) -> None:
        self._link = link
        self._display = display
        self._screen = screen
        self._artifact_path = path_below(artifacts) if artifacts is not None else None
        self._renderers: dict[str, EventRenderer] = {}
        self._throttles: dict[str, Throttle] = {}
        self._notices: dict[str, asyncio.TimerHandle] = {}

    async def events(self, job: Job, batch: Sequence[Event]) -> None:
        """Show what a job says: whole where it is waited for, else marked and no more than can be read."""
        renderer, texts = self._renderer(job), list[str]()
        for event in batch:
            if _is_end(event) or _is_own_wish(event, self._link.principal):
                continue  # what came of it is told once, with the result
            made = renderer.render(event)
            if made.text:
                texts.append(made.text if made.text.endswith("\n") else made.text + "\n")
            elif made.live is not None:
                self._show_all(job, texts)
                self._draw_live(job, made.live)
        self._show_all(job, texts)
        await self._display.room()

    def _show_all(self, job: Job, texts: list[str]) -> None:
        """What was said one after the other, at once: a flood comes in batches. Nothing is live below it any more."""
        if texts:
            self._draw_live(job, None)
            self._show(job, "".join(texts))
            texts.clear()

    def _draw_live(self, job: Job, live: Live | None) -> None:
        """What a job is at: a line of its own where it is waited for, else a few words in the bar."""
        if job.foreground:
            drawn = (
                bar(live, terminal.size(self._screen.streams[0].fileno())[1] - 1, self._screen.palette())
                if live is not None
                else ""
            )
            self._display.front(drawn)
        else:
            self._display.live(job.run.id, f"{job.tag} {bar(live, BAR)}" if live is not None else "")

    def _show(self, job: Job, text: str) -> None:
        if job.foreground:
            self._display.put(text)
            return
        throttle = self._throttles.get(job.run.id)
        if throttle is None:
            throttle = self._throttles[job.run.id] = Throttle(self._link.catalog.settings.background_lines)
        loop = asyncio.get_running_loop()
        if throttle.held and throttle.begins_anew(loop.time()):
            self._tell_held(job)
        shown = throttle.admit(text, loop.time())
        if shown:
            self._display.put(tagged(shown, self._tag(job)))
        if throttle.held and job.run.id not in self._notices:
            self._notices[job.run.id] = loop.call_later(NOTICE_EVERY, self._tell_held, job)

    def _tell_held(self, job: Job) -> None:
        timer = self._notices.pop(job.run.id, None)
        if timer is not None:
            timer.cancel()
        throttle = self._throttles.get(job.run.id)
        held = throttle.told() if throttle is not None else 0
        if held:
            text = self._screen.palette().paint("muted", f"… {held} lines more; jobs follow {job.number} shows all")
            self._display.put(self._tag(job) + text)

    def ended(self, job: Job) -> None:
        """A job has ended or is lost; one in the background announces itself."""
        self._tell_held(job)
        self._throttles.pop(job.run.id, None)
        self._renderers.pop(job.run.id, None)
        self._draw_live(job, None)
        if not job.foreground:
            self._display.put(self._end_line(job, announced(job)))

    def tell_end(self, job: Job) -> None:
        """Show what came of a job that was waited for."""
        run, palette = job.run, self._screen.palette()
        fine = run.status == "succeeded"
        if fine and run.result is not None and not says_no_more(run.result):
            folded = fold(run.result, width=self._screen.width(), lines=RESULT_LINES, palette=palette)
            self._display.put(folded.text)
            if not folded.is_whole:
                self._screen.note(f"jobs result {job.number or run.id} shows all of it")
        if run.error is not None and run.status not in ("succeeded", "cancelled"):
            self._screen.error(run.error.code, run.error.message, run.error.details)
        if not job.lost and not (fine and job.quiet):
            self._display.put(self._end_line(job, f"{run.status.replace('_', ' ')}{after(run)}, run {job.tag}"))

    def _end_line(self, job: Job, text: str) -> str:
        failed = bool(job.lost) or job.run.status in ("failed", "timed_out", "interrupted")
        fine = job.run.status == "succeeded" and not job.foreground
        role = "error" if failed else "success" if fine else "muted"
        return self._screen.palette().paint(role, visible(text))

    def value(self, value: Json) -> None:
        """Show the answer of a query."""
        self._display.put(shown(value, self._screen.width(), self._screen.palette()))

    def _renderer(self, job: Job) -> EventRenderer:
        renderer = self._renderers.get(job.run.id)
        if renderer is None:
            states = self._link.catalog.settings.show_states
            renderer = EventRenderer(
                self._screen.palette(), self._screen.width, states=states, artifact_path=self._artifact_path
            )
            self._renderers[job.run.id] = renderer
        return renderer

    def _tag(self, job: Job) -> str:
        return self._screen.palette().paint("tag", f"{job.tag}│") + " "


def _is_end(event: Event) -> bool:
    """Whether an event is the last one of a run."""
    data = event.data if event.kind == STATE else None
    return isinstance(data, Mapping) and data.get("status") in TERMINAL


def _is_own_wish(event: Event, principal: str) -> bool:
    """Whether an event says no more than that the person in front of this shell wants the run to end."""
    data = event.data if event.kind == LOG else None
    return isinstance(data, Mapping) and (data.get("code"), data.get("principal")) == (CANCELLING, principal)

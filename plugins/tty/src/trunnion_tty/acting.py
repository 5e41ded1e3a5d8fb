"""What the shell's own words do; see ``verbs.Actions``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trunnion import Conflict, InvalidArguments, Json, NotFound, TrunnionError, Unavailable
from trunnion.launcher.failures import exit_status, report, run_status
from trunnion.launcher.render import show_table
from trunnion.launcher.usage import WIDTH
from trunnion.launcher.views import show_value
from trunnion.model.names import nearest
from trunnion_tty.about_runs import all_runs, coloured, facts, fitted, own_jobs
from trunnion_tty.calls import secrets_again
from trunnion_tty.catalog import Catalog
from trunnion_tty.checking import MayShowSecret, secret_in, unknown
from trunnion_tty.jobs import Job
from trunnion_tty.lines import as_typed
from trunnion_tty.listing import explained, overview
from trunnion_tty.reading import may_be_alias
from trunnion_tty.running import by_name
from trunnion_tty.verbs import JobAction, Wanted

if TYPE_CHECKING:
    from trunnion_tty.shell import Shell

DEEPEST_SOURCE = 16
"""Files that may read one another."""


class Acting:
    """The shell's own words.

    Args:
        shell: whose they are.

    Attributes:
        sourcing: how many files are being read, one within the other.
        status: the exit status of the last word.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.sourcing = 0
        self.status = 0

    async def use(self, console: str) -> None:
        """Enter a console."""
        catalog = self._shell.link.catalog
        path = catalog.find_console(console, self._shell.console)
        if path is None:
            raise NotFound(unknown_console(console, catalog))
        described = catalog.console(path)
        if described.banner:
            self._shell.face.banner(described)
        if described.on_enter and await self._shell.run(by_name(described.on_enter, {}), quiet=True):
            raise Unavailable(f"{path} was not entered, since {described.on_enter} did not succeed")
        self._shell.consoles.append(path)

    async def back(self) -> None:
        """Leave the console for the one it was entered from."""
        path = self._shell.consoles.pop()
        leaving = self._shell.link.catalog.console(path).on_leave
        if leaving:
            await self._shell.run(by_name(leaving, {}), quiet=True)

    async def quit(self) -> None:
        """End the shell, out of all consoles; what they do as they are left is no reason to stay."""
        if not await self._shell.face.may_leave():
            self.status = exit_status("cancelled")  # the lines of a file behind it were meant not to be done
            return
        self._shell.leaving = True
        while len(self._shell.consoles) > 1 and self._shell.link.health.state != "gone":
            try:
                await self.back()
            except TrunnionError as error:
                self.status = report(error, self._shell.face.screen, debug=False)

    async def help(self, name: str) -> None:
        """Say what there is, or how something is called."""
        place, screen = self._shell.place(), self._shell.face.screen
        width = screen.width() if screen.out_is_terminal else WIDTH
        text = explained(name, place, width) if name else overview(place, width)
        if text is None:
            raise NotFound(unknown(name, place))
        screen.out(text)

    async def list_jobs(self, wanted: Wanted) -> None:
        """List runs."""
        if not wanted.every:
            jobs = list(self._shell.jobs)
            rows = own_jobs(jobs if wanted.limit is None else jobs[max(0, len(jobs) - wanted.limit) :])
            more = "" if rows[1:] else "this shell has started nothing yet; jobs --all lists what all doors have\n"
        else:
            page, goes_on = await self._shell.finder.page(wanted)
            numbers = {job.run.id: job.number for job in self._shell.jobs}
            rows = all_runs(page, numbers)
            more = "there are more: ask for those of one kind, or raise --limit\n" if goes_on else ""
            more = more if rows[1:] else "there are no such runs\n"
        screen = self._shell.face.screen
        if screen.out_is_terminal:
            rows = coloured(fitted(rows, screen.width()), screen.palette())
        if rows[1:]:
            show_table(screen, rows[1:], rows[0])
        screen.err(more)

    async def job(self, action: JobAction, name: str, to: Path | None) -> None:
        """Do something with one run."""
        run_id = await self._shell.finder.run_id(name)
        query = self._shell.running.query
        if action == "cancel":
            run = await self._shell.running.cancel(run_id)
            told = f"has ended already: {run.status.replace('_', ' ')}" if run.ended else "is being cancelled"
            self._shell.face.screen.note(f"{run.command_id} {told}")
        elif action == "follow":
            await self._look_on(run_id)
        elif action == "rerun":
            await self._again(run_id)
        elif action == "export":
            self._export(await query("runs.export", {"run_id": run_id}), to)
        elif action == "result":
            await self._result(run_id)
        else:
            await self._show(run_id)

    async def foreground(self, name: str) -> None:
        """Wait for a run that goes on in the background, or that another door started."""
        job = self._shell.jobs.find(name)
        if job is None and not name:
            raise NotFound("nothing runs in the background")
        if job is None or not job.active:
            run_id = job.run.id if job is not None else await self._shell.finder.run_id(name)
            job = self._shell.jobs.follow(await self._shell.finder.run(run_id))
        self._shell.face.screen.note(f"{job.run.command_id}, {job.tag}")
        self.status = await self._shell.stay(job)

    async def wait(self, name: str) -> None:
        """Wait for runs in the background, and for those that have ended there since this was last done."""
        jobs = [job for job in self._shell.jobs if not job.foreground and not job.collected]
        if name:
            job = self._shell.jobs.find(name)
            if job is None:
                raise NotFound(f"this shell has no job {name!r}")
            jobs = [job]
        over = asyncio.ensure_future(_all_over(jobs))
        await self._shell.running.waited(over, "no longer waiting; what is under way goes on")
        for job in jobs:
            job.collected = True
            self.status = (exit_status("unavailable") if job.lost else run_status(job.run)) or self.status

    async def alias(self, name: str, line: Sequence[str]) -> None:
        """List words that stand for others, show one, or set one."""
        known = self._shell.place().meanings
        if line:
            self._shell.aliases[name] = self._meant(name, as_typed(line))
        elif name and name not in known:
            raise NotFound(f"there is no alias {name!r}; alias NAME LINE sets one")
        else:
            shown = {name: known[name]} if name else known
            self._shell.face.screen.out("".join(f"{key} = {value}\n" for key, value in sorted(shown.items())))

    def _meant(self, name: str, meaning: str) -> str:
        """What a word is to stand for, if both can be.

        Raises:
            Conflict: the shell's own words always stand for themselves.
            InvalidArguments: nobody could call it, it stands for nothing, or it shows a secret.
        """
        if name in self._shell.verbs:
            raise Conflict(f"{name} is a word of the shell's own; choose another")
        if not may_be_alias(name):
            raise InvalidArguments(f"{name!r} cannot be an alias: say alias NAME LINE, with one plain word as the name")
        if not meaning.strip():
            raise InvalidArguments(f"say what {name} is to stand for")
        if told := secret_in(meaning, self._shell.place()):
            raise MayShowSecret(told)
        return meaning

    async def source(self, file: Path, keep_going: bool) -> None:
        """Do what is in a file; the first error ends it unless told otherwise."""
        if self.sourcing >= DEEPEST_SOURCE:
            raise Conflict(f"{DEEPEST_SOURCE} files read one another: {file} is not read once more")
        text = await self._shell.read(file)
        self.sourcing += 1
        try:
            self.status = await self._shell.perform(text, keep_going=keep_going, origin=file)
        finally:
            self.sourcing -= 1

    async def record(self, to: str) -> None:
        """Write down what is done, or stop it."""
        if to == "off":
            path = self._shell.recorder.end()
            self._shell.face.screen.note(f"recorded to {path}" if path else "nothing was being recorded")
        elif to:
            self._shell.recorder.begin(Path(to), self._shell.console)
            self._shell.face.screen.note(f"recording to {self._shell.recorder.path}; record off ends it")
        else:
            path = self._shell.recorder.path
            self._shell.face.screen.note(f"recording to {path}" if path else "nothing is being recorded")

    async def history(self, count: int) -> None:
        """List earlier lines."""
        self._shell.face.screen.out("".join(f"{line}\n" for line in self._shell.face.earlier(count)))

    async def theme(self, name: Literal["dark", "light", "mono"]) -> None:
        """Change colours."""
        self._shell.face.theme(name)

    async def clear(self) -> None:
        """Make the screen empty."""
        self._shell.face.clear()

    # -- one run ----------------------------------------------------------------------------------

    async def _show(self, run_id: str) -> None:
        """All that matters of it for people; all of it for programs."""
        screen = self._shell.face.screen
        if screen.out_is_terminal:
            show_table(screen, facts(await self._shell.finder.run(run_id), screen.palette()), ())
        else:
            show_value(screen, await self._shell.running.query("runs.get", {"run_id": run_id}))

    async def _look_on(self, run_id: str) -> None:
        """All a run says, from its beginning to its end; Ctrl-C stops looking on."""
        if not await self._shell.running.look_on(await self._shell.finder.run(run_id)):
            self.status = exit_status("cancelled")

    async def _again(self, run_id: str) -> None:
        """Whoever was asked at first is asked again, and so is for what is not kept: its secrets."""
        args: dict[str, Json] = {"run_id": run_id}
        run = await self._shell.finder.run(run_id)
        entry = self._shell.link.catalog.get(run.command_id)
        if entry is not None:
            await self._shell.agreed(entry)
        if entry is not None and (again := await secrets_again(entry, run.args, self._shell.face.secret)):
            args["args"] = again
        job = await self._shell.running.start(by_name("runs.rerun", args))
        await self._shell.running.waited(asyncio.ensure_future(job.over()))
        if job.run.status != "succeeded" or not isinstance(job.run.result, Mapping):
            self._shell.face.tell_end(job)
            self.status = run_status(job.run)
            return
        anew = await self._shell.finder.run(str(job.run.result.get("id")))
        self.status = await self._shell.stay(self._shell.jobs.follow(anew))

    async def _result(self, run_id: str) -> None:
        run = await self._shell.finder.run(run_id)
        if run.error is not None:
            raise Unavailable(f"run {run_id} {run.status.replace('_', ' ')}: {run.error.message}")
        if not run.ended:
            raise Conflict(f"run {run_id} has not ended: fg waits for it")
        show_value(self._shell.face.screen, run.result)

    def _export(self, answer: Json, to: Path | None) -> None:
        text = str(answer.get("text")) if isinstance(answer, Mapping) else ""
        if to is None:
            self._shell.face.screen.out(text)
            return
        try:
            descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise Conflict(f"{to} is there already; choose another name, or remove it first") from None
        except (OSError, ValueError) as error:
            raise Unavailable(f"{to} cannot be written: {getattr(error, 'strerror', error)}") from None
        self._shell.face.screen.note(f"written to {to}")


def unknown_console(name: str, catalog: Catalog) -> str:
    """The sentence about a console that nothing has."""
    close = nearest(name, [path for path in catalog.consoles if path])
    return f"there is no console {name!r}" + (f"; did you mean {' or '.join(close)}?" if close else "; help lists them")


async def _all_over(jobs: Sequence[Job]) -> None:
    for job in jobs:
        await job.over()

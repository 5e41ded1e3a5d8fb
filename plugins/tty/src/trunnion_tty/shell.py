"""The shell: takes lines, one after the other, and does what they say. Whoever is in front of it is a ``Face``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from trunnion import Conflict, InvalidArguments, Invocation, Json, NotFound, TrunnionError, Unavailable
from trunnion.launcher.failures import exit_status, report, run_status
from trunnion.launcher.render import show_table
from trunnion.launcher.secrets import words_for
from trunnion.launcher.views import show_value
from trunnion_tty.calls import with_secrets
from trunnion_tty.catalog import Catalog, Entry
from trunnion_tty.checking import check, unknown
from trunnion_tty.face import Face
from trunnion_tty.finding import Finder
from trunnion_tty.jobs import Job, Jobs
from trunnion_tty.lines import statements
from trunnion_tty.link import Link
from trunnion_tty.listing import all_runs, explained, overview, own_jobs
from trunnion_tty.reading import Place, Reading, read
from trunnion_tty.recording import Recorder
from trunnion_tty.running import Running, by_name
from trunnion_tty.verbs import NOT_RECORDED, JobAction, Wanted, declared, perform

SYSTEM_SHELL = "shell.run"
"""The host's command behind ``!`` and behind consoles that hand unknown lines to the system."""

REFRESH = 0.5
"""Seconds to wait for news of the host before a name counts as unknown."""

DEEPEST_SOURCE = 16
"""Files that may read one another."""


class Shell:
    """What is done with lines, whoever types them.

    Args:
        link: the line to the host.
        face: whoever is in front.
        patience: seconds a host that is gone is waited for.

    Attributes:
        leaving: whether the shell is to end.
        console: the path of the console it is in.
    """

    def __init__(self, link: Link, face: Face, *, patience: float) -> None:
        self._link = link
        self._face = face
        self.jobs = Jobs(link.client, face)
        self._running = Running(link.client, self.jobs, face, patience)
        self._finder = Finder(link, self.jobs)
        self._verbs = declared()
        self._aliases: dict[str, str] = {}
        self._consoles: list[str] = [""]
        self._recorder = Recorder()
        self._sources = 0
        self.leaving = False

    @property
    def console(self) -> str:
        """The path of the console the shell is in."""
        return self._consoles[-1]

    @property
    def recording(self) -> Path | None:
        """The file that is recorded to."""
        return self._recorder.path

    def place(self) -> Place:
        """Where lines are read now."""
        catalog = self._link.catalog
        return Place(catalog, self._verbs, {**catalog.settings.aliases, **self._aliases}, self.console)

    async def close(self) -> None:
        """Look away from runs, which go on, and put the recording down."""
        self._recorder.end()
        await self.jobs.close()

    # -- lines ------------------------------------------------------------------------------------

    async def perform(self, text: str, *, keep_going: bool = False) -> int:
        """Do one or several lines; the first that fails ends it.

        Args:
            text: as it was typed.
            keep_going: do the others all the same.

        Returns:
            The exit status of the last line that failed, 0 if all went well.
        """
        status = 0
        for line in statements(text):
            status = await self.line(line) or status
            if self.leaving or (status and not keep_going):
                break
        return status

    async def line(self, line: str) -> int:
        """Do one line, whatever comes of it; returns its exit status. Nothing but the end of the shell gets past it."""
        try:
            status = await self._line(line)
        except EOFError:
            self._face.screen.note("nothing was done")
            return exit_status("cancelled")
        except Exception as error:  # a defect in one line is no reason to lose the others
            status = report(error, self._face.screen, debug=False)
        return self._recorded(line, status)

    async def _line(self, line: str) -> int:
        reading = read(line, self.place())
        if reading.kind == "undefined" and self._link.catalog.console(self.console).accept_undefined is False:
            await self._link.refresh(REFRESH)
            reading = read(line, self.place())
        fault = check(line, self.place(), whole=True)
        if fault is not None:
            known = reading.kind != "undefined"
            raise (InvalidArguments if known else NotFound)(fault.message)
        return await self._act(line, reading)

    async def _act(self, line: str, reading: Reading) -> int:
        if reading.kind == "verb":
            return await self._verb(reading)
        if reading.kind == "system":
            return await self._system(reading.statement.text.strip(), background=False)
        if reading.kind == "undefined":
            return await self._undefined(line.strip(), background=reading.statement.background)
        if reading.entry is None:
            return 0
        if reading.entry.kind == "query":
            return await self._query(reading.entry, reading.argv)
        return await self._command(reading.entry, reading)

    def _recorded(self, line: str, status: int) -> int:
        name = line.split(maxsplit=1)[0] if line.strip() else ""
        if name in NOT_RECORDED or self._sources:
            return status
        try:
            self._recorder.done(line, status)
        except Unavailable as error:
            return report(error, self._face.screen, debug=False)
        return status

    async def _verb(self, reading: Reading) -> int:
        assert reading.verb is not None
        parameters = reading.verb.parameters
        await perform(reading.verb, self, parameters.bind(parameters.parse(reading.argv)))
        return self._status_of_source if reading.verb.name == "source" else 0

    # -- commands, queries, and what is neither ---------------------------------------------------

    async def _command(self, entry: Entry, reading: Reading) -> int:
        if entry.confirm and not await self._face.agrees(entry.confirm):
            raise EOFError
        if deprecated := str(entry.described.get("deprecated") or ""):
            self._face.screen.note(f"{entry.id} is deprecated: {deprecated}")
        invocation = await self._invocation(entry, reading.argv)
        return await self._run(invocation, background=reading.statement.background)

    async def _invocation(self, entry: Entry, argv: Sequence[str]) -> Invocation:
        parameters = entry.parameters
        if not entry.secrets or parameters is None:
            return Invocation(command_id=entry.id, argv=tuple(argv), revision=entry.revision or None)
        args = await with_secrets(entry, parameters.parse(argv), self._face.secret, _from_source)
        return by_name(entry.id, args, entry.revision)

    async def _run(self, invocation: Invocation, *, background: bool) -> int:
        job = await self._running.start(invocation)
        if background:
            job.foreground = False
            self._face.screen.note(f"[{job.number}] {job.tag} {job.run.command_id}")
            return 0
        return await self._stay(job)

    async def _stay(self, job: Job) -> int:
        await self._running.stay(job)
        if job.lost:
            raise Unavailable(job.lost)
        return run_status(job.run) if job.run.ended else 0

    async def _system(self, line: str, *, background: bool) -> int:
        if self._link.catalog.get(SYSTEM_SHELL) is None:
            raise NotFound("the host has no command for lines of the system's shell, or it is not for you")
        return await self._run(by_name(SYSTEM_SHELL, {"line": line}), background=background)

    async def _undefined(self, line: str, *, background: bool) -> int:
        console = self._link.catalog.console(self.console)
        if console.validator:
            problem = await self._asked(console.validator, {"line": line})
            if problem:
                raise InvalidArguments(problem if isinstance(problem, str) else str(problem))
        if console.accept_undefined == "system":
            return await self._system(line, background=background)
        return await self._run(by_name(console.on_miss, self._about(console.on_miss, line)), background=background)

    def _about(self, name: str, line: str) -> dict[str, Json]:
        """What a command or query behind a console is told of a line: as much as it takes."""
        entry = self._link.catalog.get(name)
        told: dict[str, Json] = {"line": line, "console": self.console}
        return told if entry is None else {key: value for key, value in told.items() if key in entry.names}

    async def _asked(self, query_id: str, args: Mapping[str, Json]) -> Json:
        told = {**args, **self._about(query_id, str(args.get("line", "")))}
        return await self._running.waited(asyncio.ensure_future(self._link.client.query(query_id, told)))

    async def _query(self, entry: Entry, argv: Sequence[str]) -> int:
        value = await self._running.waited(asyncio.ensure_future(self._link.client.query(entry.id, argv=argv)))
        self._face.value(value)
        return 0

    async def offered(self, line: str) -> Json:
        """What the console itself offers to a line that is being typed; None where it offers nothing.

        Raises:
            TrunnionError: it would not say.
        """
        completer = self._link.catalog.console(self.console).completer
        return await self._link.client.query(completer, self._about(completer, line)) if completer else None

    # -- what the shell's own words do (see verbs.Actions) ------------------------------------------

    async def use(self, console: str) -> None:
        """Enter a console."""
        catalog = self._link.catalog
        path = catalog.find_console(console, self.console)
        if path is None:
            raise NotFound(unknown_console(console, catalog))
        described = catalog.console(path)
        if described.banner:
            self._face.banner(described)
        if described.on_enter and await self._run(by_name(described.on_enter, {}), background=False):
            raise Unavailable(f"{path} was not entered, since {described.on_enter} did not succeed")
        self._consoles.append(path)

    async def back(self) -> None:
        """Leave the console for the one it was entered from."""
        path = self._consoles.pop()
        leaving = self._link.catalog.console(path).on_leave
        if leaving:
            await self._run(by_name(leaving, {}), background=False)

    async def quit(self) -> None:
        """End the shell, out of all consoles."""
        if not await self._face.may_leave():
            return
        while len(self._consoles) > 1:
            await self.back()
        self.leaving = True

    async def help(self, name: str) -> None:
        """Say what there is, or how something is called."""
        text = explained(name, self.place()) if name else overview(self.place())
        if text is None:
            raise NotFound(unknown(name, self.place()))
        self._face.screen.out(text)

    async def list_jobs(self, wanted: Wanted) -> None:
        """List runs."""
        if not wanted.every:
            header, *rows = own_jobs(self.jobs)
            more = "" if rows else "this shell has started nothing yet; jobs --all lists what all doors have\n"
        else:
            page = await self._finder.page(wanted)
            numbers = {job.run.id: job.number for job in self.jobs}
            header, *rows = all_runs(page, numbers)
            more = "" if rows else "there are no such runs\n"
        if rows:
            show_table(self._face.screen, rows, header)
        self._face.screen.err(more)

    async def job(self, action: JobAction, name: str, to: Path | None) -> None:
        """Do something with one run."""
        run_id = await self._finder.run_id(name)
        client = self._link.client
        if action == "cancel":
            run = await self._running.cancel(run_id)
            self._face.screen.note(f"{run.command_id} {'is being cancelled' if not run.ended else run.status}")
        elif action == "follow":
            await self._look_on(run_id)
        elif action == "rerun":
            await self._again(run_id)
        elif action == "export":
            self._export(await client.query("runs.export", {"run_id": run_id}), to)
        elif action == "result":
            await self._result(run_id)
        else:
            show_value(self._face.screen, await client.query("runs.get", {"run_id": run_id}))

    async def foreground(self, name: str) -> None:
        """Wait for a run that goes on in the background, or that another door started."""
        job = self.jobs.find(name)
        if job is None and not name:
            raise NotFound("nothing runs in the background")
        if job is None or not job.active:
            run_id = job.run.id if job is not None else await self._finder.run_id(name)
            job = self.jobs.follow(await self._finder.run(run_id))
        self._face.screen.note(f"{job.run.command_id}, {job.tag}")
        await self._stay(job)

    async def wait(self, name: str) -> None:
        """Wait for runs in the background; Ctrl-C stops waiting."""
        jobs = self.jobs.active
        if name:
            job = self.jobs.find(name)
            if job is None:
                raise NotFound(f"this shell has no job {name!r}")
            jobs = [job]
        over: asyncio.Future[Json] = asyncio.ensure_future(_all_over(jobs))
        await self._running.waited(over)

    async def alias(self, name: str, line: Sequence[str]) -> None:
        """List words that stand for others, show one, or set one."""
        known = self.place().aliases
        if name and line:
            if name in self._verbs:
                raise Conflict(f"{name} is a word of the shell's own; choose another")
            self._aliases[name] = " ".join(line)
        elif name and name not in known:
            raise NotFound(f"there is no alias {name!r}")
        else:
            shown = {name: known[name]} if name else known
            self._face.screen.out("".join(f"{key} = {value}\n" for key, value in sorted(shown.items())))

    async def source(self, file: Path, keep_going: bool) -> None:
        """Do what is in a file; the first error ends it unless told otherwise."""
        if self._sources >= DEEPEST_SOURCE:
            raise Conflict(f"{DEEPEST_SOURCE} files read one another: {file} is not read once more")
        try:
            text = await asyncio.to_thread(file.read_text, encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(f"{file} cannot be read: {error}") from None
        self._sources += 1
        try:
            self._status_of_source = await self.perform(text, keep_going=keep_going)
        finally:
            self._sources -= 1

    _status_of_source = 0

    async def record(self, to: str) -> None:
        """Write down what is done, or stop it."""
        if to == "off":
            path = self._recorder.end()
            self._face.screen.note(f"recorded to {path}" if path else "nothing was being recorded")
        elif to:
            self._recorder.begin(Path(to), self.console)
            self._face.screen.note(f"recording to {self._recorder.path}; record off ends it")
        else:
            path = self._recorder.path
            self._face.screen.note(f"recording to {path}" if path else "nothing is being recorded")

    async def history(self, count: int) -> None:
        """List earlier lines."""
        self._face.screen.out("".join(f"{line}\n" for line in self._face.earlier(count)))

    async def theme(self, name: Literal["dark", "light", "mono"]) -> None:
        """Change colours."""
        self._face.theme(name)

    async def clear(self) -> None:
        """Make the screen empty."""
        self._face.clear()

    # -- one run ----------------------------------------------------------------------------------

    async def _look_on(self, run_id: str) -> None:
        """All a run says, from its beginning to its end; Ctrl-C stops looking on."""
        await self._running.look_on(await self._finder.run(run_id))

    async def _again(self, run_id: str) -> None:
        job = await self._running.start(by_name("runs.rerun", {"run_id": run_id}))
        await job.over()
        if job.run.status != "succeeded" or not isinstance(job.run.result, Mapping):
            self._face.tell_end(job)
            return
        await self._stay(self.jobs.follow(await self._finder.run(str(job.run.result.get("id")))))

    async def _result(self, run_id: str) -> None:
        run = await self._finder.run(run_id)
        if run.error is not None:
            raise Unavailable(f"run {run_id} {run.status.replace('_', ' ')}: {run.error.message}")
        if not run.ended:
            raise Conflict(f"run {run_id} has not ended: fg waits for it")
        show_value(self._face.screen, run.result)

    def _export(self, answer: Json, to: Path | None) -> None:
        text = str(answer.get("text")) if isinstance(answer, Mapping) else ""
        if to is None:
            self._face.screen.out(text)
            return
        try:
            descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise Conflict(f"{to} is there already; choose another name, or remove it first") from None
        except OSError as error:
            raise Unavailable(f"{to} cannot be written: {error.strerror}") from None
        self._face.screen.note(f"written to {to}")


def unknown_console(name: str, catalog: Catalog) -> str:
    """The sentence about a console that nothing has."""
    from trunnion.model.names import nearest

    close = nearest(name, [path for path in catalog.consoles if path])
    return f"there is no console {name!r}" + (f"; did you mean {' or '.join(close)}?" if close else "; help lists them")


async def _all_over(jobs: Sequence[Job]) -> Json:
    for job in jobs:
        await job.over()
    return None


def _from_source(name: str, source: str) -> str:
    """A secret from ``env:VARIABLE`` or ``file:PATH``."""
    (word,) = words_for([f"{name}={source}"])
    return word.partition("=")[2]


def status_of(error: TrunnionError) -> int:
    """The exit status of a refusal."""
    return exit_status(error.code)

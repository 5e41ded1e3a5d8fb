"""The shell: takes lines, one after the other, and does what they say. Whoever is in front of it is a ``Face``."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from trunnion import InvalidArguments, Invocation, Json, NotFound, TrunnionError, Unavailable
from trunnion.launcher.failures import exit_status, report, run_status
from trunnion.launcher.secrets import words_for
from trunnion_tty.acting import Acting
from trunnion_tty.calls import with_secrets
from trunnion_tty.catalog import Entry
from trunnion_tty.checking import SYSTEM_SHELL, MayShowSecret, check
from trunnion_tty.face import Face
from trunnion_tty.finding import Finder
from trunnion_tty.hosting import Hosting
from trunnion_tty.jobs import Job, Jobs
from trunnion_tty.lines import numbered
from trunnion_tty.link import Link
from trunnion_tty.reading import Place, Reading, is_taken_as_it_is, read
from trunnion_tty.recording import Recorder, read_lines
from trunnion_tty.running import Running, by_name
from trunnion_tty.threads import in_thread
from trunnion_tty.verbs import ABOUT_RUNS, NOT_RECORDED, declared, perform

REFRESH = 0.5
"""Seconds to wait for news of the host before a name counts as unknown."""


class Shell:
    """What is done with lines, whoever types them.

    Args:
        link: the line to the host.
        face: whoever is in front.
        own: what becomes of the host.
        patience: seconds a host that is gone is waited for.

    Attributes:
        jobs: runs it looks after.
        consoles: the consoles it is in, the main one first.
        aliases: those set in this shell.
        recorder: writes down what is done.
        leaving: whether it is to end.
        shows_secret: whether a secret may stand in what was done last, so that it is to be written down nowhere.
    """

    def __init__(self, link: Link, face: Face, own: Hosting, *, patience: float) -> None:
        self.link = link
        self.face = face
        self._own = own
        self.jobs = Jobs(link.client, face)
        self.running = Running(link.client, self.jobs, face, patience)
        self.finder = Finder(self.running, self.jobs)
        self.verbs = declared()
        self.aliases: dict[str, str] = {}
        self.consoles: list[str] = [""]
        self.recorder = Recorder()
        self.acting = Acting(self)
        self.leaving = False
        self.shows_secret = False

    @property
    def console(self) -> str:
        """The path of the console the shell is in."""
        return self.consoles[-1]

    @property
    def recording(self) -> Path | None:
        """The file that is recorded to."""
        return self.recorder.path

    async def read(self, file: Path) -> str:
        """The text of a file of lines; Ctrl-C does not wait for one that somebody else has to write first.

        Raises:
            GivenUp: the person would not wait.
            Unavailable: it cannot be read, or is no text.
        """
        return await self.running.waited(in_thread(partial(read_lines, file)), f"{file} was not read")

    def place(self) -> Place:
        """Where lines are read now."""
        catalog = self.link.catalog
        return Place(catalog, self.verbs, {**catalog.settings.aliases, **self.aliases}, self.console)

    async def cancel_foreground(self, patience: float) -> None:
        """Have the run that is waited for cancelled, if there is one and the host answers in time."""
        for job in self.jobs.active:
            if job.foreground:
                with contextlib.suppress(TrunnionError, TimeoutError):
                    async with asyncio.timeout(patience):
                        await self.link.client.cancel(job.run.id)

    async def close(self) -> None:
        """Look away from runs, which go on, and put the recording down."""
        self.recorder.end()
        await self.jobs.close()

    async def _from_source(self, name: str, source: str) -> str:
        """A secret from ``env:VARIABLE`` or ``file:PATH``."""
        reading = in_thread(partial(words_for, [f"{name}={source}"]))
        try:
            (word,) = await self.running.waited(reading, "nothing was done")
        except InvalidArguments as error:  # here it is no option
            raise InvalidArguments(error.message.removeprefix("--secret ")) from None
        return word.partition("=")[2]

    # -- lines ------------------------------------------------------------------------------------

    async def perform(self, text: str, *, keep_going: bool = False, origin: Path | None = None) -> int:
        """Do one or several lines; the first that fails ends it.

        Args:
            text: as it was typed.
            keep_going: do the others all the same.
            origin: the file it is from; a line of it that fails is told by its number.

        Returns:
            The exit status of the last line that failed, 0 if all went well.
        """
        status = 0
        self.shows_secret = self.shows_secret and self.acting.sourcing > 0
        for number, line in numbered(text, lambda line: is_taken_as_it_is(line, self.place())):
            failed = await self.line(line)
            if failed and origin is not None:
                self.face.screen.note(f"that was line {number} of {origin}")
            status = failed or status
            if self.leaving or (status and not keep_going):
                break
        return status

    async def line(self, line: str) -> int:
        """Do one line, whatever comes of it; returns its exit status. Nothing but the end of the shell gets past it."""
        try:
            status = await self._line(line)
        except EOFError:
            self.face.screen.note("nothing was done")
            return exit_status("cancelled")
        except Exception as error:  # a defect in one line is no reason to lose the others
            status = report(error, self.face.screen, debug=False)
            if isinstance(error, MayShowSecret):
                self.shows_secret = self.shows_secret or not self.acting.sourcing
                return status
        return self._recorded(line, status)

    async def _line(self, line: str) -> int:
        if self._own.has_ended:
            await self.running.waited(asyncio.ensure_future(self._own.ensure()), "the host was not started")
        reading = read(line, self.place())
        if reading.kind == "undefined" and self.link.catalog.console(self.console).accept_undefined is False:
            await self.link.refresh(REFRESH)
            reading = read(line, self.place())
        fault = check(line, self.place(), whole=True)
        if fault is not None:
            if reading.entry is not None and reading.entry.secrets:
                raise MayShowSecret(fault)
            raise (NotFound if reading.kind == "undefined" else InvalidArguments)(fault)
        return await self._act(line, reading)

    async def _act(self, line: str, reading: Reading) -> int:
        if reading.kind == "verb":
            return await self._verb(reading)
        if reading.kind == "system":
            return await self._system(reading.statement.text.strip(), background=False)
        if reading.kind == "undefined":
            return await self._undefined(reading.statement.text.strip(), background=reading.statement.background)
        if reading.entry is None:
            return 0
        if reading.entry.kind == "query":
            return await self._query(await self._invocation(reading.entry, reading.argv))
        return await self._command(reading.entry, reading)

    def _recorded(self, line: str, status: int) -> int:
        name = line.split(maxsplit=1)[0] if line.strip() else ""
        if name in NOT_RECORDED or self.acting.sourcing:
            return status
        try:
            self.recorder.done(line, status)
        except Unavailable as error:
            return report(error, self.face.screen, debug=False)
        return status

    async def _verb(self, reading: Reading) -> int:
        assert reading.verb is not None
        parameters = reading.verb.parameters
        self.acting.status = 0
        bound = parameters.bind(parameters.parse(reading.argv))
        with self._own.awaited() if reading.verb.name in ABOUT_RUNS else contextlib.nullcontext():
            await perform(reading.verb, self.acting, bound)
        return self.acting.status

    # -- commands, queries, and what is neither ---------------------------------------------------

    async def _command(self, entry: Entry, reading: Reading) -> int:
        await self.agreed(entry)
        if deprecated := str(entry.described.get("deprecated") or ""):
            self.face.screen.note(f"{entry.id} is deprecated: {deprecated}")
        invocation = await self._invocation(entry, reading.argv)
        return await self.run(invocation, background=reading.statement.background)

    async def agreed(self, entry: Entry) -> None:
        """Ask what a person should be asked before a command.

        Raises:
            EOFError: the answer was no.
        """
        if entry.confirm and not await self.face.agrees(entry.confirm):
            raise EOFError

    async def _invocation(self, entry: Entry, argv: Sequence[str]) -> Invocation:
        parameters = entry.parameters
        if not entry.secrets or parameters is None:
            return Invocation(command_id=entry.id, argv=tuple(argv), revision=entry.revision or None)
        args = await with_secrets(entry, parameters.parse(argv), self.face.secret, self._from_source)
        return by_name(entry.id, args, entry.revision)

    async def run(self, invocation: Invocation, *, background: bool = False, quiet: bool = False) -> int:
        """Run a command; returns its exit status, 0 at once for one in the background.

        Args:
            invocation: of the command.
            background: whether nobody waits for it.
            quiet: whether what it says is all that is told of it if it ends well, as at the other end of a line.

        Raises:
            TrunnionError: it was refused, or no host answered.
        """
        job = await self.running.start(invocation)
        job.quiet = quiet
        if background:
            job.foreground = False
            self.face.screen.note(f"[{job.number}] {job.tag} {job.run.command_id}")
            return 0
        return await self.stay(job)

    async def stay(self, job: Job) -> int:
        """Wait for a job; returns its exit status, 0 if it was sent to the background.

        Raises:
            Unavailable: nothing more is known of it.
        """
        with self._own.awaited():
            left = await self.running.stay(job)
        if left == signal.SIGINT:
            return exit_status("cancelled")
        if job.lost:
            raise job.defect or Unavailable(job.lost)
        return run_status(job.run) if job.run.ended else 0

    async def _system(self, line: str, *, background: bool) -> int:
        if self.link.catalog.get(SYSTEM_SHELL) is None:
            raise NotFound("the host has no command for lines of the system's shell, or it is not for you")
        return await self.run(by_name(SYSTEM_SHELL, {"line": line}), background=background, quiet=True)

    async def _undefined(self, line: str, *, background: bool) -> int:
        console = self.link.catalog.console(self.console)
        if console.validator:
            problem = await self._asked(console.validator, {"line": line})
            if problem:
                raise InvalidArguments(problem if isinstance(problem, str) else str(problem))
        if console.accept_undefined == "system":
            return await self._system(line, background=background)
        wish = by_name(console.on_miss, self._about(console.on_miss, line))
        return await self.run(wish, background=background, quiet=True)

    def _about(self, name: str, line: str) -> dict[str, Json]:
        """What a command or query behind a console is told of a line: as much as it takes."""
        entry = self.link.catalog.get(name)
        told: dict[str, Json] = {"line": line, "console": self.console}
        return told if entry is None else {key: value for key, value in told.items() if key in entry.names}

    async def _asked(self, query_id: str, args: Mapping[str, Json]) -> Json:
        told = {**args, **self._about(query_id, str(args.get("line", "")))}
        return await self.running.query(query_id, told)

    async def _query(self, wish: Invocation) -> int:
        value = await self.running.query(wish.command_id, wish.args, argv=wish.argv)
        self.face.value(value)
        return 0

    async def offered(self, line: str) -> Json:
        """What the console itself offers to a line that is being typed; None where it offers nothing.

        Raises:
            TrunnionError: it would not say.
        """
        completer = self.link.catalog.console(self.console).completer
        return await self.link.client.query(completer, self._about(completer, line)) if completer else None

"""A line to a host that can be cut, held and taken away; and somebody in front of a shell who keeps what is shown."""

from __future__ import annotations

import asyncio
import contextlib
import io
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

from trunnion import Command, Console, Context, Event, Host, HostOptions, Json, Query, hookimpl
from trunnion.launcher.screen import Screen
from trunnion_tty.jobs import Job

PATIENCE = 20


async def until(done: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait for something to be so.

    Raises:
        AssertionError: it never was.
    """
    try:
        async with asyncio.timeout(patience):
            while not done():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"in {patience} s it never was") from None


class Wire:
    """A socket that leads to the socket of a host, as long as the test wants.

    Args:
        path: the socket.
        target: the host's.

    Attributes:
        answers: while cleared, nothing that the host says arrives.
        requests: while cleared, nothing that is said to the host arrives.
    """

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self.target = target
        self.answers, self.requests = asyncio.Event(), asyncio.Event()
        self.answers.set()
        self.requests.set()
        self.lines = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def up(self) -> None:
        """Let clients connect."""
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def down(self) -> None:
        """Let nobody connect, and cut what is connected."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.path.unlink(missing_ok=True)
        await self.cut()

    async def cut(self) -> None:
        """Cut every line; what is on its way is lost."""
        lines = list(self._open)
        for line in lines:
            line.cancel()
        if lines:
            await asyncio.wait(lines)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.lines += 1
        ways: list[asyncio.Task[None]] = []
        try:
            away, back = await asyncio.open_unix_connection(self.target)
            ways = [
                asyncio.create_task(self._pass_on(reader, back, self.requests)),
                asyncio.create_task(self._pass_on(away, writer, self.answers)),
            ]
            # One end is gone, so the other one is, too.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            back.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for way in ways:
                way.cancel()
            writer.transport.abort()
            self._open.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may: asyncio.Event) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                await may.wait()
                writer.write(data)
                await writer.drain()


class Front:
    """See ``face.Face``; Ctrl-C and Ctrl-Z are pressed by the test.

    Attributes:
        seen: numbers of the events shown of each run, in the order they came.
        texts: what runs said.
        told: jobs whose end was shown.
        over: jobs that have ended.
    """

    def __init__(self) -> None:
        self.err = io.StringIO()
        self.screen = Screen(out=io.StringIO(), err=self.err)
        self.seen: dict[str, list[int]] = {}
        self.texts: list[str] = []
        self.told: list[Job] = []
        self.over: list[Job] = []
        self.values: list[Json] = []
        self.secrets: dict[str, str] = {}
        self.keys: asyncio.Queue[signal.Signals] = asyncio.Queue()

    @property
    def notes(self) -> str:
        return self.err.getvalue()

    def press(self, *keys: signal.Signals) -> None:
        for key in keys:
            self.keys.put_nowait(key)

    async def events(self, job: Job, batch: Sequence[Event]) -> None:
        self.seen.setdefault(job.run.id, []).extend(event.seq for event in batch)
        self.texts += [event.text for event in batch if event.kind == "text"]
        await asyncio.sleep(0)

    def ended(self, job: Job) -> None:
        self.over.append(job)

    def tell_end(self, job: Job) -> None:
        self.told.append(job)

    def value(self, value: Json) -> None:
        self.values.append(value)

    def banner(self, console: Console) -> None:
        self.texts.append(console.banner)

    def theme(self, name: object) -> None:
        """Nothing is coloured."""

    async def may_leave(self) -> bool:
        return True

    async def secret(self, name: str) -> str:
        return self.secrets[name]

    async def agrees(self, question: str) -> bool:
        return True

    async def keyboard(self) -> signal.Signals:
        return await self.keys.get()

    def attend(self) -> None:
        """Keys count all the time."""

    def dismiss(self) -> None:
        """Keys count all the time."""

    def clear(self) -> None:
        """There is no screen."""

    def earlier(self, count: int) -> list[str]:
        return []


class Plant:
    """Commands whose progress a test decides, and what they have done.

    Attributes:
        go: what ``hold`` waits for.
        begun: how often each command began.
    """

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun: list[str] = []

    def plugin(self) -> object:
        async def hold(ctx: Context, mark: str = "") -> str:
            """Wait until the test lets go."""
            self.begun.append(mark)
            ctx.echo("holding")
            await self.go.wait()
            return "let go"

        async def count(ctx: Context, lines: int, mark: str = "") -> int:
            """Say so many lines, and wait for the test in between."""
            self.begun.append(mark)
            for number in range(lines):
                ctx.echo(f"line {number}")
                if number % 20 == 0:
                    await ctx.flush()
                    await asyncio.sleep(0)
            return lines

        def quick(mark: str = "") -> str:
            self.begun.append(mark)
            return mark

        async def late() -> str:
            """Answer when the test lets go."""
            await self.go.wait()
            return "answered"

        made = SimpleNamespace()

        @hookimpl
        def trunnion_commands(settings: object) -> list[Command]:
            return [Command.of(function, console="plant", lock=None) for function in (hold, count, quick)]

        @hookimpl
        def trunnion_queries(settings: object) -> list[Query]:
            return [Query.of(late, console="plant")]

        made.trunnion_commands, made.trunnion_queries = trunnion_commands, trunnion_queries
        return made


@contextlib.asynccontextmanager
async def hosted(folder: Path, plant: Plant, *more: str) -> AsyncIterator[Host]:
    """A host with the plant, on its own socket."""
    options = HostOptions(data_dir=folder / "data", overrides=("executor.shutdown_grace=0.2", *more))
    async with Host(options, plugins={"plant": plant.plugin()}, discovery=False, environ={}) as running:
        yield running

"""A real host in the test's own process, and the few questions that every test of the kernel asks it."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from trunnion.hookspecs import hookimpl
from trunnion.host import Host, HostOptions
from trunnion.kernel.live import LiveRun
from trunnion.model.commands import Command
from trunnion.model.events import Event, run_stream
from trunnion.model.runs import Caller, Invocation, Run
from trunnion.model.status import TERMINAL
from trunnion.store.base import Batch, Done, Store
from trunnion.testing import FakeClock  # noqa: F401  # the tests take it from here

ANN = Caller("ann", "cli", "admin")


class Plugin:
    """Contributes what a test hands it."""

    def __init__(self, commands: Iterable[object] = (), **more: Iterable[object]) -> None:
        made = [c if isinstance(c, Command) else Command.of(c, console="t", lock=None) for c in commands]
        self.given = {"commands": made, **{name: list(values) for name, values in more.items()}}

    def _of(self, name: str) -> list[object]:
        return list(self.given.get(name, ()))

    @hookimpl
    def trunnion_commands(self) -> list[object]:
        return self._of("commands")

    @hookimpl
    def trunnion_queries(self) -> list[object]:
        return self._of("queries")

    @hookimpl
    def trunnion_streams(self) -> list[object]:
        return self._of("streams")

    @hookimpl
    def trunnion_consoles(self) -> list[object]:
        return self._of("consoles")

    @hookimpl
    def trunnion_frontends(self) -> list[object]:
        return self._of("frontends")

    @hookimpl
    def trunnion_daemons(self) -> list[object]:
        return self._of("daemons")

    @hookimpl
    def trunnion_provides(self) -> list[object]:
        return self._of("providers")

    @hookimpl
    def trunnion_gates(self) -> list[object]:
        return self._of("gates")

    @hookimpl
    def trunnion_observers(self) -> list[object]:
        return self._of("observers")

    @hookimpl
    def trunnion_meta(self) -> list[object]:
        return self._of("sections")


def cmd(function: Callable[..., object], **options: object) -> Command:
    """A command ``t.<function name>`` whose runs go in parallel unless a lock is given."""
    return Command.of(function, **{"console": "t", "lock": None, **options})


class Rig:
    """A running host and the door the test stands at."""

    def __init__(self, host: Host, source: str = "cli") -> None:
        self.host = host
        self.kernel = host.kernel
        self.door = host.door(source)

    async def submit(self, command_id: str, caller: Caller = ANN, /, **args: object) -> Run:
        return await self.door.submit(caller, Invocation(command_id=command_id, args=args))

    async def ask(self, caller: Caller = ANN, /, **fields: object) -> Run:
        return await self.door.submit(caller, Invocation(**fields))

    async def ended(self, run: Run | str, caller: Caller = ANN, seconds: float = 20) -> Run:
        """The run at its end; its stream is checked on the way."""
        run_id = run if isinstance(run, str) else run.id
        last = await self.door.wait(caller, run_id, seconds)
        await self.check_end(last)
        return last

    async def run(self, command_id: str, caller: Caller = ANN, /, **args: object) -> Run:
        return await self.ended(await self.submit(command_id, caller, **args), caller)

    async def check_end(self, run: Run) -> list[Event]:
        """Guarantee 2: gapless from 1, exactly one terminal event, the last one, which agrees with the row."""
        stored = self.kernel.store.get_run(run.id)
        events = await self.events(run)
        assert stored == run
        assert [e.seq for e in events] == list(range(1, run.last_seq + 1))
        ends = [e for e in events if e.kind == "state" and e.data["status"] in TERMINAL]
        assert ends == events[-1:]
        assert ends[0].data["status"] == run.status
        assert ends[0].data.get("error", {}).get("code") == (run.error.code if run.error else None)
        return events

    async def events(self, run: Run | str, *, live: bool = True) -> list[Event]:
        run_id = run if isinstance(run, str) else run.id
        return [e async for batch in self.door.follow(ANN, run_stream(run_id), live=live) for e in batch]

    async def texts(self, run: Run) -> str:
        return "".join(e.text for e in await self.events(run) if e.kind == "text" and "update" not in e.data)

    async def host_events(self, stream: str = "host") -> list[Event]:
        await self.kernel.waiting.flush(self.kernel.log.stream(stream))
        return [e async for batch in self.door.follow(ANN, stream, live=False) for e in batch]

    async def codes(self) -> list[str]:
        """Codes of what was reported so far."""
        return [e.data["code"] for e in await self.host_events() if e.kind == "log"]

    def live(self, run: Run | str) -> LiveRun:
        return self.kernel.executor.table.live[run if isinstance(run, str) else run.id]

    def phase(self, run: Run | str) -> str:
        live = self.kernel.executor.table.live.get(run if isinstance(run, str) else run.id)
        return "gone" if live is None else live.phase

    def assert_idle(self) -> None:
        """Nothing is left behind in memory: no run, lane, slot or count."""
        executor = self.kernel.executor
        assert not executor.table.live
        assert not executor.placement.lanes.by_key
        assert executor.placement.slots.used == executor.placement.slots.used_threads == 0
        assert executor.placement.slots.waiting == 0
        assert executor.table.pending.total() == 0
        assert not executor.table.abandoned

    def disk_image(self, name: str = "image") -> Path:
        """What ``kill -9`` at this instant would leave: a copy of the data directory as it is on disk now."""
        target = self.host.data.root.parent / name
        shutil.copytree(self.host.data.root, target, ignore=shutil.ignore_patterns("run", "*.lock", "lock"))
        return target


class Valve:
    """Stands before the store's ``commit``: closed, batches wait in order, as on a disk that stalls."""

    def __init__(self, store: Store) -> None:
        self._commit = store.commit
        self._waiting: list[tuple[Batch, Done]] = []
        self.closed = False
        self._holds: Callable[[Batch], object] = bool
        store.commit = self._take

    def _take(self, batch: Batch, done: Done) -> None:
        if self.closed and self._holds(batch):
            self._waiting.append((batch, done))
        else:
            self._commit(batch, done)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def close(self, holds: Callable[[Batch], object] = bool) -> None:
        self.closed, self._holds = True, holds

    def open(self) -> None:
        self.closed = False
        waiting, self._waiting = self._waiting, []
        for batch, done in waiting:
            self._commit(batch, done)

    def fail(self, error: Exception) -> None:
        """What waits comes back uncommitted; what comes afterwards passes."""
        self.closed = False
        waiting, self._waiting = self._waiting, []
        for _, done in waiting:
            done(error)


@asynccontextmanager
async def rig(
    root: Path,
    *commands: object,
    data: Path | None = None,
    durability: str = "memory",
    clock: object = None,
    capture: bool = False,
    more_plugins: dict[str, object] | None = None,
    plugin: dict[str, Iterable[object]] | None = None,
    mode: str = "serve",
    settings: dict[str, object] | None = None,
    **executor: object,
) -> AsyncIterator[Rig]:
    """Start a host; keyword arguments left over are settings of ``[executor]``, ``settings`` has those of others."""
    of_executor = {"cancel_grace": 2.0, "shutdown_grace": 0.2, **executor}
    overrides = [f"store.durability={durability}", *(f"executor.{k}={v}" for k, v in of_executor.items())]
    of_others = {"host.lag_limit": 0, **(settings or {})}  # many tests keep the loop busy, each in its own way
    overrides += [f"{key}={value}" for key, value in of_others.items()]
    options = HostOptions(data_dir=data or root / "data", capture=capture, mode=mode, overrides=tuple(overrides))
    plugins = {"p": Plugin(commands, **(plugin or {})), **(more_plugins or {})}
    async with Host(options, plugins=plugins, discovery=False, environ={}, clock=clock) as host:
        yield Rig(host)


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait for a condition that something else brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.001)


class Gatehouse:
    """Handlers that note when they begin and stay until they are let go."""

    def __init__(self) -> None:
        self.began: list[object] = []
        self.go: dict[object, asyncio.Event] = {}

    async def stay(self, n: int) -> int:
        self.began.append(n)
        await self.go.setdefault(n, asyncio.Event()).wait()
        return n

    def release(self, *numbers: int) -> None:
        for n in numbers:
            self.go.setdefault(n, asyncio.Event()).set()

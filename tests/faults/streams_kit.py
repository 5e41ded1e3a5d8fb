"""Listening to streams over the socket by hand, so that nothing the client's library does can hide a gap."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from faults_kit import Ground, Up

PATIENCE = 60.0


class _Data(msgspec.Struct):
    subscription: str = ""
    events: list[msgspec.Raw] = []
    ended: bool = False
    error: dict[str, Any] | None = None


class _Frame(msgspec.Struct):
    type: str
    id: int | None = None
    result: Any = None
    code: str = ""
    message: str = ""
    data: _Data | None = None


class _Numbered(msgspec.Struct):
    seq: int
    kind: str
    data: Any = None


class Heard:
    """What came on one subscription.

    Attributes:
        numbers: of the events, in the order they came; a gap event has the last number it stands for.
        kinds: of the events.
        gaps: first and last of each gap that was told.
        digest: of the events' bytes as they came.
        error: why it ended, if it was told.
    """

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.kinds: list[str] = []
        self.gaps: list[tuple[int, int]] = []
        self.error: dict[str, Any] | None = None
        self.ended = asyncio.Event()
        self._digest = hashlib.sha256()

    def take(self, data: _Data) -> None:
        for raw in data.events:
            event = msgspec.json.decode(raw, type=_Numbered)
            self.numbers.append(event.seq)
            self.kinds.append(event.kind)
            if event.kind == "gap":
                self.gaps.append((event.data["first"], event.data["last"]))
            self._digest.update(bytes(raw) + b"\n")
        if data.ended:
            self.error = data.error
            self.ended.set()

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def follows(self, after: int, last: int) -> bool:
        """Whether it is every number after one up to another, in order, each once or within a gap that was told."""
        expected = after + 1
        gaps = {last: first for first, last in self.gaps}
        for number in self.numbers:
            if gaps.get(number, number) != expected:
                return False
            expected = number + 1
        return expected == last + 1


class Line:
    """A connection, with as many subscriptions as wanted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[_Frame]] = {}
        self._heard: dict[str, Heard] = {}
        self._early: dict[str, list[_Data]] = {}

    async def call(self, method: str, params: dict[str, Any]) -> _Frame:
        """The answer to a call, whatever it is."""
        number = next(self._ids)
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        self._writer.write(
            msgspec.json.encode({"type": "rpc", "id": number, "method": method, "params": params}) + b"\n"
        )
        async with asyncio.timeout(PATIENCE):
            return await future

    async def listen(self, stream: str, after: int = 0, *, live: bool = True) -> Heard:
        """Subscribe; what is heard goes on coming."""
        return self.adopt(await self.call("stream.subscribe", {"stream": stream, "after": after, "live": live}))

    def adopt(self, frame: _Frame) -> Heard:
        """Take what comes on the subscription that a call was answered with."""
        assert frame.type == "rpc_result", frame
        heard = self._heard[frame.result["subscription"]] = Heard()
        for data in self._early.pop(frame.result["subscription"], []):
            heard.take(data)
        return heard

    async def hear(self, stream: str, after: int = 0, *, live: bool = True) -> Heard:
        """Subscribe and listen to the end."""
        heard = await self.listen(stream, after, live=live)
        async with asyncio.timeout(PATIENCE):
            await heard.ended.wait()
        return heard

    async def read(self) -> None:
        """Take what comes, for as long as something does."""
        while line := await self._reader.readline():
            frame = msgspec.json.decode(line, type=_Frame)
            if frame.data is not None:
                self._of(frame.data)
            elif frame.id is not None:
                self._answers.pop(frame.id).set_result(frame)

    def _of(self, data: _Data) -> None:
        heard = self._heard.get(data.subscription)
        if heard is None:
            self._early.setdefault(data.subscription, []).append(data)
        else:
            heard.take(data)


def launched(ground: Ground, *args: str) -> subprocess.CompletedProcess[str]:
    """What the program does as a client of the host that is up."""
    program = [sys.executable, "-c", "from trunnion.launcher.main import main; main()", "--data-dir", str(ground.data)]
    return subprocess.run(
        [*program, *args], check=False, capture_output=True, text=True, timeout=PATIENCE, env=ground.environment()
    )


def resident(host: Up) -> int:
    """Memory of a host, in bytes."""
    [text] = [line for line in Path(f"/proc/{host.pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(text.split()[1]) << 10


async def submit(listener: Line, command_id: str, **args: object) -> str:
    """The id of a run that was started."""
    frame = await listener.call("command.submit", {"command_id": command_id, "args": args})
    assert frame.type == "rpc_result", frame
    return str(frame.result["id"])


async def last_of(listener: Line, run: str) -> int:
    """The number of a run's last event, by its row."""
    frame = await listener.call("run.wait", {"run_id": run})
    return int(frame.result["last_seq"])


@asynccontextmanager
async def line(path: Path) -> AsyncIterator[Line]:
    """A connection to a host's socket."""
    reader, writer = await asyncio.open_unix_connection(str(path), limit=64 << 20)
    made = Line(reader, writer)
    reading = asyncio.create_task(made.read())
    try:
        yield made
    finally:
        reading.cancel()
        await asyncio.wait([reading])
        writer.close()

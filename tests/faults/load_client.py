"""One client process under whose load a host is killed: submits, follows, cancels, and asks again.

    python load_client.py SOCKET HISTORY NAME SEED TASKS

It works until its standard input ends, then asks once more for every answer it never got, and leaves.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import sys
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from history import History

from trunnion.model.errors import TrunnionError, Unavailable
from trunnion.model.events import encode_event, run_stream
from trunnion.model.runs import Invocation, Run
from trunnion.protocol.client import Client
from trunnion.protocol.client_errors import RemoteError

T = TypeVar("T")
WAIT_FOR_HOST = 30.0
PAUSE = 0.02
COMMANDS = (
    *["faults.quick"] * 4,
    *["faults.chatty"] * 4,
    *["faults.chatty_thread"] * 3,
    *["faults.sleeper"] * 3,
    *["faults.sleeper_thread"] * 2,
    *["faults.stubborn"] * 2,
    *["faults.failing"] * 2,
    *["faults.parent"] * 3,
    *["faults.serial"] * 8,
    *["faults.again"] * 2,
    *["faults.maker"] * 2,
    "faults.long_output",
    "scripts.tree",
)


class Load:
    """One task of a client: one thing after another, decided by its own seed."""

    def __init__(self, client: Client, history: History, name: str, seed: str, closing: asyncio.Event) -> None:
        self.client, self.history, self.name, self.closing = client, history, name, closing
        self.random = random.Random(seed)
        self.numbers = itertools.count(1)
        self.sides: set[asyncio.Task[None]] = set()

    async def work(self) -> None:
        while not self.closing.is_set():
            command = self.random.choice(COMMANDS)
            burst = 12 if command == "faults.serial" and self.random.random() < 0.2 else 1
            for _ in range(burst):
                await self.one(command)
            await asyncio.sleep(self.random.uniform(0, 0.02))
        await asyncio.gather(*self.sides)

    async def one(self, command: str) -> None:
        """Submit under a key of its own, then do something with the run."""
        token = f"{self.name}-{next(self.numbers)}"
        run = await self.submit(command, token)
        if run is None:
            return
        action = self.random.choice(("leave", "leave", "wait", "follow", "follow", "cancel", "twin", "reread"))
        if command == "faults.stubborn":
            action = "cancel"
        delay = self.random.choice((0.0, 0.0, self.random.uniform(0, 0.2)))
        task = asyncio.create_task(self.then(action, command, token, run.id, delay))
        self.sides.add(task)
        task.add_done_callback(self.sides.discard)
        if len(self.sides) > 8:
            await asyncio.wait(self.sides, return_when=asyncio.FIRST_COMPLETED)

    async def then(self, action: str, command: str, token: str, run_id: str, delay: float) -> None:
        await asyncio.sleep(delay)
        if action == "wait":
            self.ended(await self.until_answered(lambda: self.client.wait(run_id)))
        elif action == "follow":
            await self.follow(run_id, f"{token}-a")
        elif action == "reread":
            await asyncio.gather(self.follow(run_id, f"{token}-a"), self.follow(run_id, f"{token}-b"))
        elif action == "cancel":
            run = await self.until_answered(lambda: self.client.cancel(run_id))
            if run is not None:
                self.history.tell("cancelled", run=run_id, status=run.status)
        elif action == "twin":
            await self.submit(command, token)

    async def submit(self, command: str, token: str) -> Run | None:
        args = {} if command.startswith("scripts.") else {"token": token}
        asked = Invocation(command_id=command, args=args, idempotency_key=token)
        self.history.tell("asked", key=token, command=command)
        run = await self.until_answered(lambda: self.client.submit(asked))
        if run is not None:
            self.history.tell("accepted", key=token, run=run.id, command=command)
        return run

    async def follow(self, run_id: str, name: str) -> None:
        try:
            async for events in self.client.follow(run_stream(run_id)):
                shown = [[event.seq, zlib.crc32(encode_event(event))] for event in events]
                self.history.tell("seen", run=run_id, follow=name, events=shown)
        except TrunnionError as error:
            self.refused("follow", error)

    def ended(self, run: Run | None) -> None:
        if run is not None:
            self.history.tell("ended", run=run.id, status=run.status, finished=run.finished)

    async def until_answered(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Ask until the host, this one or the next, says something definite; None for a refusal."""
        deadline = asyncio.get_running_loop().time() + WAIT_FOR_HOST
        while True:
            try:
                return await call()
            except RemoteError as error:
                if error.info.code not in ("unavailable", "interrupted"):
                    self.refused("call", error)
                    return None
                last: TrunnionError = error
            except Unavailable as error:
                last = error
            if asyncio.get_running_loop().time() > deadline:
                self.refused("call", last)
                return None
            await asyncio.sleep(PAUSE)

    def refused(self, what: str, error: TrunnionError) -> None:
        self.history.tell("refused", call=what, code=error.info.code, message=error.message)


async def main(socket: str, history: str, name: str, seed: str, tasks: str) -> None:
    # Calls made in the turn of the loop in which the line breaks are told of by asyncio; they fail as they should.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    closing = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), closing.set)
    told = History(Path(history), name)
    async with Client(Path(socket), patience=WAIT_FOR_HOST) as client:
        loads = [Load(client, told, f"{name}.{n}", f"{seed}/{name}/{n}", closing) for n in range(int(tasks))]
        await asyncio.gather(*(load.work() for load in loads))
    told.tell("left")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

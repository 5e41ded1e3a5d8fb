"""Commands for the fault tests: each writes one line to the effects file before anything else.

A line says which token had an effect, in which run, attempt and process, so that whoever reads the file
needs to trust nothing the host says.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from trunnion import Admission, Allow, Command, CommandFailed, Context, Gate, Retry, Verdict, hookimpl

EFFECTS = os.environ.get("FAULTS_EFFECTS", os.devnull)
INTENTS = os.environ.get("FAULTS_INTENTS", "")
LINE = "the quick brown fox jumps over the lazy dog "


def effect(ctx: Context, token: str) -> None:
    line = {"token": token, "run": ctx.run_id, "attempt": ctx.attempt, "pid": os.getpid(), "at": time.monotonic()}
    append(EFFECTS, line)


def append(path: str, line: dict[str, object]) -> None:
    """One line, in one piece."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(line).encode() + b"\n")
    finally:
        os.close(fd)


async def quick(ctx: Context, token: str) -> str:
    effect(ctx, token)
    return token


async def chatty(ctx: Context, token: str, events: int = 60) -> int:
    effect(ctx, token)
    for number in range(events):
        ctx.echo(LINE, number)
        if number % 5 == 0:
            ctx.data({"number": number})
            await asyncio.sleep(0.001)
    return events


def chatty_thread(ctx: Context, token: str, events: int = 60) -> int:
    effect(ctx, token)
    for number in range(events):
        ctx.check()
        print(LINE, number)
        ctx.log("step", data={"number": number})
        if number % 10 == 0:
            time.sleep(0.001)
    return events


async def long_output(ctx: Context, token: str, blocks: int = 30) -> int:
    """More text than is kept among the events, so that the rest goes to the run's output file."""
    effect(ctx, token)
    for number in range(blocks):
        ctx.echo((LINE + str(number) + "\n") * 1200)
        await ctx.flush()
    return blocks


async def sleeper(ctx: Context, token: str, seconds: float = 0.3) -> float:
    effect(ctx, token)
    ctx.echo("asleep")
    await asyncio.sleep(seconds)
    return seconds


def sleeper_thread(ctx: Context, token: str, seconds: float = 0.3) -> float:
    effect(ctx, token)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ctx.check()
        time.sleep(0.005)
    return seconds


async def stubborn(ctx: Context, token: str) -> None:
    """Takes its time when it is told to end."""
    effect(ctx, token)
    try:
        await asyncio.sleep(0.3)
    finally:
        await asyncio.sleep(0.2)


async def failing(ctx: Context, token: str) -> None:
    effect(ctx, token)
    ctx.echo("about to fail")
    raise CommandFailed("as ordered", {"token": token})


async def parent(ctx: Context, token: str) -> list[object]:
    effect(ctx, token)
    first = await ctx.invoke("faults.quick", token=token + "/1")
    second = await ctx.spawn("faults.chatty", token=token + "/2", events=20)
    third = await ctx.spawn("faults.sleeper", token=token + "/3", seconds=0.05)
    return [first, await second.result(), await third.result()]


async def serial(ctx: Context, token: str, seconds: float = 0.004) -> str:
    effect(ctx, token)
    await asyncio.sleep(seconds)
    return token


async def again(ctx: Context, token: str, seconds: float = 0.15) -> int:
    effect(ctx, token)
    ctx.echo("attempt", ctx.attempt)
    await asyncio.sleep(seconds)
    return ctx.attempt


async def maker(ctx: Context, token: str) -> str:
    effect(ctx, token)
    info = await ctx.artifact("made.txt", (token * 200).encode(), "text/plain")
    return info.id


async def filler(ctx: Context, token: str, blocks: int = 10_000) -> None:
    """Writes until it is stopped; for a disk that is to be full."""
    effect(ctx, token)
    for number in range(blocks):
        ctx.echo((LINE + os.urandom(16).hex() + str(number) + "\n") * 200)
        await ctx.flush()


async def until(ctx: Context, token: str, path: str) -> None:
    """Ends when a file is there."""
    effect(ctx, token)
    ctx.echo("waiting")
    while not Path(path).exists():
        await asyncio.sleep(0.01)


HOARD: list[bytearray] = []


async def hog(ctx: Context, token: str) -> int:
    """Takes all memory there is, down to the last page, and gives nothing back."""
    effect(ctx, token)
    size = 64 << 20
    while size >= 4096:
        try:
            HOARD.append(bytearray(size))
        except MemoryError:
            size //= 2
    return len(HOARD)


def loud(ctx: Context, token: str, path: str) -> None:
    """Logs from many threads until a file is there."""
    effect(ctx, token)

    def talk() -> None:
        while not Path(path).exists():
            logging.getLogger("loud").warning("here")
            time.sleep(0.005)

    threads = [threading.Thread(target=talk) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


PARALLEL = (
    hog,
    loud,
    stubborn,
    quick,
    chatty,
    chatty_thread,
    long_output,
    sleeper,
    sleeper_thread,
    failing,
    parent,
    maker,
    filler,
    until,
)


@hookimpl
def trunnion_commands(settings: object) -> list[Command]:
    retry = Retry(attempts=50, delay=0.01, max_delay=0.02, codes=frozenset({"interrupted"}))
    own = [Command.of(function, console="faults", lock=None) for function in PARALLEL]
    own.append(Command.of(serial, console="faults", lock="serial"))
    own.append(Command.of(again, console="faults", lock=None, retry=retry))
    return [] if os.environ.get("FAULTS_WITHOUT_COMMANDS") else own


async def write_intents(admissions: Sequence[Admission]) -> list[Verdict]:
    """A gate that puts what is about to happen on record, as an audit does."""
    for admission in admissions:
        append(INTENTS, {"run": admission.run_id, "at": time.monotonic()})
    return [Allow() for _ in admissions]


@hookimpl
def trunnion_gates(settings: object) -> list[Gate]:
    return [Gate(name="intents", admit=write_intents, records=True)] if INTENTS else []

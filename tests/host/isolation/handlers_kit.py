"""Handlers for processes of their own: functions of a module, as such a process has to find them."""

from __future__ import annotations

import asyncio
import ctypes
import enum
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from trunnion import CommandFailed, Context, Secret, Unavailable, echo, table
from trunnion import log as log_line

# -- what the differential test performs ----------------------------------------------------------


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def _raises(what: str) -> None:
    errors = {
        "value": lambda: ValueError("a value"),
        "failed": lambda: CommandFailed("no luck", {"tries": 3, "odd": "\udc80" if what == "" else "x"}),
        "facts": lambda: CommandFailed("odd facts", {"set": {1, 2}}),
        "unavailable": lambda: Unavailable("not there"),
        "exit": lambda: SystemExit(3),
        "interrupt": KeyboardInterrupt,
        "odd": Odd,
        "recursion": RecursionError,
        "stop": StopIteration,
        "cancelled": asyncio.CancelledError,
    }
    raise errors[what]()


def _values(what: str) -> object:
    circle: list[object] = []
    circle.append(circle)
    return {
        "set": {1},
        "path": Path("/a/b"),
        "error": ValueError("in data"),
        "object": object(),
        "circle": circle,
        "huge": 1 << 80,
        "surrogate": "\udc80",
        "nan": float("nan"),
        "bytes": b"\x00\xff",
        "large": "x" * 200_000,
        "none": None,
    }[what]


def _step(ctx: Context, step: Mapping[str, object]) -> None:
    do, value = step["do"], step.get("value")
    text = str(value)
    if do == "print":
        print(text, file=sys.stderr if step.get("err") else sys.stdout, end=str(step.get("end", "\n")))
    elif do == "echo":
        echo(text, value)
    elif do == "log":
        ctx.log(text, level=str(step.get("level", "info")), data=value)
    elif do == "logging":
        logging.getLogger("kit").warning("%s", value)
    elif do == "module_log":
        log_line(text, data=value)
    elif do == "table":
        table([[text, 1], [None, True]], headers=["a", "b"], title=text, **(step.get("look") or {}))
    elif do == "data":
        ctx.data(value, text)
    elif do == "emit":
        ctx.emit(text, text, value)
    elif do == "block":
        ctx.text(f"{text}\n{text}\n", channel="other")
    elif do == "stats":
        ctx.stats.add(text[:20], 2)
    elif do == "tried":
        try:
            ctx.data(_values(text))
        except Exception as error:
            print(f"refused: {type(error).__name__}: {error}")
    else:
        _raises(text)


def perform(ctx: Context, steps: list[dict[str, object]], result: object = None, special: str = "") -> object:
    """Do what a test made up."""
    for step in steps:
        _step(ctx, step)
    return _values(special) if special else result


async def perform_async(
    ctx: Context, steps: list[dict[str, object]], result: object = None, special: str = ""
) -> object:
    """The same in a coroutine."""
    for step in steps:
        await asyncio.sleep(0)
        _step(ctx, step)
    return _values(special) if special else result


def perform_later(ctx: Context, steps: list[dict[str, object]], result: object = None, special: str = "") -> object:
    """The same in a coroutine that a plain function returns."""
    return perform_async(ctx, steps, result, special)


# -- values of all kinds --------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: int


class Box(msgspec.Struct):
    name: str
    inner: Point


def values(first: int, /, colour: Colour, *, box: Box, where: Path, words: tuple[str, ...] = ()) -> list[str]:
    """Say what it was given."""
    return [repr(first), repr(colour), repr(box), repr(where), repr(words)]


def many(*words: str) -> list[str]:
    """Any number of words."""
    return list(words)


def facts(ctx: Context) -> dict[str, object]:
    """What the context says."""
    remaining = None if ctx.deadline is None else ctx.deadline - time.monotonic()
    return {
        "run_id": ctx.run_id,
        "command": ctx.command_id,
        "principal": ctx.principal,
        "source": ctx.caller.source,
        "labels": ctx.labels,
        "session": ctx.session_id,
        "attempt": ctx.attempt,
        "run": ctx.run.id,
        "remaining": remaining,
        "cancelled": ctx.cancelled,
    }


def trivial() -> int:
    return 1


def keeps_secret(password: Annotated[str, Secret]) -> str:
    """Shows what it must not."""
    print("the password is", password)
    logging.getLogger("kit").error("again %s", password)
    os.write(1, f"raw {password}\n".encode())
    raise ValueError(f"wrong password {password}")


def learns(ctx: Context) -> str:
    ctx.register_secrets("s3cr3t-token")
    print("it is s3cr3t-token")
    return "s3cr3t-token"


def sees() -> dict[str, object]:
    """Its own words and environment."""
    return {"argv": Path("/proc/self/cmdline").read_bytes().decode(), "env": dict(os.environ), "pid": os.getpid()}


# -- asking the host ------------------------------------------------------------------------------


async def asks(ctx: Context, command: str, n: int) -> object:
    print("before")
    return await ctx.invoke(command, n=n)


def asks_blocking(ctx: Context, command: str, n: int) -> object:
    return ctx.invoke_blocking(command, n=n)


async def asks_many(ctx: Context, command: str, n: int) -> object:
    return await asyncio.gather(*[ctx.invoke(command, n=each) for each in range(n)])


def tries(ctx: Context, name: str) -> str:
    """Use what an isolated context has not."""
    return str(getattr(ctx, name)(int))


async def keeps(ctx: Context, size: int) -> list[str]:
    async def pieces():
        for _ in range(4):
            await asyncio.sleep(0)
            yield b"p" * size

    kept = [
        await ctx.artifact("bytes.bin", b"x" * size),
        await ctx.artifact("pieces.bin", pieces()),
        await ctx.artifact("empty.bin", b""),
    ]
    await ctx.flush()
    return [f"{info.name} {info.size}" for info in kept]


def keeps_file(ctx: Context, path: Path) -> str:
    return ctx.artifact_blocking("file.bin", path, "text/plain").sha256


def gives_up_a_file(ctx: Context) -> str:
    def pieces():
        yield b"some"
        raise ValueError("no more")

    try:
        ctx.artifact_blocking("never.bin", pieces())
    except ValueError as error:
        return str(error)
    return "kept"


# -- ends of all kinds ----------------------------------------------------------------------------


def dies(how: str) -> None:
    print("before the end")
    print("half a line", end="")
    sys.stdout.flush()
    if how == "segfault":
        ctypes.string_at(0)
    elif how == "abort":
        os.abort()
    elif how == "exit":
        os._exit(7)
    elif how == "nothing":
        os._exit(0)
    elif how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "closed":
        os.closerange(3, 100)
        print("nobody hears")
    time.sleep(60)


def family(marker: Path, ends: bool = False) -> None:
    """Start a child, and a grandchild in a session of its own; then stay, or end."""
    script = "import os, time; os.setsid(); time.sleep(300)"
    children = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    marker.write_text(" ".join(str(pid) for pid in [os.getpid(), *(child.pid for child in children)]))
    if not ends:
        time.sleep(300)


def obeys(ctx: Context, marker: Path) -> str:
    marker.write_text("up")
    ctx.wait_cancelled(60)
    print("told")
    ctx.check()
    return "not told"


async def obeys_async(marker: Path) -> None:
    marker.write_text("up")
    try:
        await asyncio.sleep(60)
    finally:
        print("told")


def returns_when_told(ctx: Context, marker: Path) -> str:
    marker.write_text("up")
    ctx.wait_cancelled(60)
    return "in time"


def deaf(marker: Path) -> None:
    """Catch every signal that can be caught, and never look."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    marker.write_text(str(os.getpid()))
    while True:
        time.sleep(1)


def in_c(marker: Path) -> None:
    """Hold the interpreter in C code, so that not even the listening thread gets a turn."""
    marker.write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(300)


def leaves_late() -> str:
    """Return, and leave a thread for which the interpreter would wait."""
    threading.Thread(target=time.sleep, args=(300,)).start()
    return "returned"


# -- too much, and rubbish ------------------------------------------------------------------------


def floods(ctx: Context, lines: int) -> int:
    for n in range(lines):
        print(f"line {n} " + "x" * 200)
    return lines


def last_words(lines: int) -> None:
    for n in range(lines):
        print(f"line {n} " + "x" * 200)
    os._exit(1)


def emits_for_ever(ctx: Context) -> None:
    while True:
        ctx.data("x" * 1000)


def one_line(pieces: int, size: int) -> None:
    for _ in range(pieces):
        sys.stdout.write("y" * size)


def raw_output(lines: int) -> None:
    """Past Python's own streams, and by a program."""
    for n in range(lines):
        os.write(1, b"raw %d\n" % n)
    os.write(2, b"\xff\xfe broken\n")
    subprocess.run(["/bin/echo", "from a program"], check=True)


def _pipe_to_the_host() -> int:
    """What no handler does: find the descriptor on which its process speaks."""
    import gc

    from trunnion.isolation.pipe import Pipe

    return next(each for each in gc.get_objects() if isinstance(each, Pipe))._writer


def rubbish(what: str) -> str:
    pipe = _pipe_to_the_host()
    if what == "length":
        os.write(pipe, b"\xff\xff\xff\xff rubbish")
        time.sleep(60)
    elif what == "half":
        os.write(pipe, b"\x00\x00\x10\x00 half a frame")
        os._exit(0)
    else:
        os.write(pipe, HOSTILE[what])
    return "said it"


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def _framed(*said: object) -> bytes:
    return _frame(msgspec.msgpack.encode(list(said)))


HOSTILE = {
    "no message": _frame(b"\xc1\xc1\xc1"),
    "empty": _frame(b""),
    "unknown": _framed("Sudo", "rm"),
    "short": _framed("Emit", "data"),
    "state": _framed("Emit", "state", "succeeded", b'{"status":"succeeded"}', "info", "host"),
    "bad json": _framed("Emit", "data", "", b"{nothing", "info", "handler"),
    "deep json": _framed("Emit", "data", "", b"[" * 100_000, "info", "handler"),
    "huge number": _framed("Emit", "data", "", b"1e999", "info", "handler"),
    "odd word": _framed("Text", "x", "a\nb\x1b[2J"),
    "figures": _framed("Figures", {"a": 1e308}),
    "piece": _framed("Piece", 17, b"x"),
    "details": _framed("Invoke", 5, "t.trivial", b"[1]", None),
}

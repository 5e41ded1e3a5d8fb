"""Commands that are hard on a shell: each does one odd thing."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Literal

from trunnion import Command, CommandFailed, Console, Context, Json, Query, Secret, hookimpl

ASKED: list[str] = []
"""What queries for completion were asked for."""


def hello(name: str = "you", *, loud: bool = False, tone: Literal["kind", "cool"] = "kind", times: int = 1) -> str:
    """Greet somebody.

    Args:
        name: whom to greet.
        loud: shout.
        tone: how it is said.
        times: how often.
    """
    for _ in range(times):
        print("greeting", name)
    return f"hello {name}".upper() if loud else f"hello {name}"


async def ahello(ctx: Context, name: str = "you") -> str:
    """Greet somebody, without a thread."""
    ctx.echo(f"greeting {name} from a coroutine")
    return f"hello {name}"


def exits() -> None:
    """Leave the interpreter, or try to."""
    print("going")
    sys.exit(3)


async def aexits() -> None:
    """The same on the host's loop."""
    sys.exit(3)


def raises() -> None:
    """A defect."""
    raise ValueError("a defect")


def fails() -> None:
    """What a command expects to go wrong."""
    raise CommandFailed("no space on the tape")


def flood(ctx: Context, lines: int = 1000, *, rate: int = 0) -> None:
    """Many lines from one thread.

    Args:
        lines: how many.
        rate: so many a second; 0 as fast as it goes.
    """
    began = time.monotonic()
    for number in range(lines):
        print(f"line {number} of the flood")
        if rate and number % 50 == 49:
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            ctx.check()


def threads(ctx: Context, count: int = 8, lines: int = 1000) -> None:
    """Many lines from many threads at once."""

    def write(thread: int) -> None:
        for number in range(lines):
            ctx.echo(f"thread {thread} line {number}")

    writers = [threading.Thread(target=write, args=(number,)) for number in range(count)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()


async def aflood(ctx: Context, lines: int = 1000) -> None:
    """Many lines from the host's loop."""
    for number in range(lines):
        ctx.echo(f"line {number} of the flood")
        if number % 500 == 499:
            await ctx.flush()


async def nap(ctx: Context, until: str = "") -> str:
    """Sleep until a file is there.

    Args:
        until: the file.
    """
    ctx.echo("asleep")
    while not (until and Path(until).exists()):
        await asyncio.sleep(0.01)
    ctx.echo("awake")
    return "slept well"


async def talk(ctx: Context, until: str) -> None:
    """Say a line for each that is written to a file, until it says ``end``."""
    said = 0
    while True:
        lines = Path(until).read_text().splitlines() if Path(until).exists() else []
        for line in lines[said:]:
            if line == "end":
                return
            ctx.echo(line)
        said = len(lines)
        await asyncio.sleep(0.005)


async def stubborn(ctx: Context) -> None:
    """Take a while to end once it is cancelled."""
    ctx.echo("asleep")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        ctx.echo("one moment")
        await asyncio.sleep(60)


async def block(until: str, *, at_once: bool = False) -> None:
    """Keep the host's loop busy until a file is there.

    Args:
        until: the file.
        at_once: before the host has answered whoever asked for it.
    """
    if not at_once:
        await asyncio.sleep(0.2)
    deadline = time.monotonic() + 30
    while not Path(until).exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def noop() -> None:
    """Nothing at all."""


def table(ctx: Context) -> None:
    """Cells of several languages, of several lengths."""
    ctx.table([["北京", 1234], ["東京タワー", 5], ["x"], ["Ωμέγα", 17, "more"]], ["城市", "n"], "표 Table")


def large() -> Json:
    """A result that is longer than a screen."""
    return {"items": list(range(1000)), "name": "x" * 300}


def bar(ctx: Context, steps: int = 20) -> None:
    """A line that is rewritten, as tqdm does it."""
    for step in range(steps + 1):
        sys.stderr.write(f"\r{step * 100 // steps:3d}%|{'#' * step:<{steps}}| {step}/{steps}")
        sys.stderr.flush()
        time.sleep(0.02)
        ctx.check()
    sys.stderr.write("\n")


async def steps(ctx: Context, until: str, count: int = 4) -> None:
    """Progress, that stays at three quarters until a file is there."""
    for step in range(count):
        ctx.progress(step, count, "copying")
        await asyncio.sleep(0.06)  # of what comes quicker one is kept
    while not Path(until).exists():
        await asyncio.sleep(0.01)
    ctx.progress(count, count, "copying")


async def keep(ctx: Context) -> None:
    """Keep a file."""
    await ctx.artifact("report.txt", b"hello")


def levels(ctx: Context) -> None:
    """A word of each level."""
    for level in ("debug", "info", "warning", "error"):
        ctx.log(f"said as {level}", level)


async def unlock(ctx: Context, *, code: Annotated[str, Secret()], door: str = "front") -> int:
    """Take a secret.

    Args:
        code: nobody else's business.
        door: which one.
    """
    ctx.echo(f"at the {door} door")
    return len(code)


def ask(*, sure: bool = False) -> str:
    """Be asked first."""
    return "done"


def move(car: str, to: Path = Path("garage")) -> str:
    """Take a value that a query offers.

    Args:
        car: which one.
        to: where to.
    """
    return f"{car} is in {to}"


def dial(number: str, slowly: str = "", never: str = "", nonsense: str = "", many: str = "") -> str:
    """Take values whose queries are slow, or fail.

    Args:
        number: one that is asked for quickly.
        slowly: one whose query takes long.
        never: one whose query fails.
        nonsense: one whose query answers what are no values.
        many: one whose query has very many.
    """
    return number


async def cars() -> list[Json]:
    """What there is to be moved."""
    return [{"value": "beetle", "title": "A small one"}, {"value": "bus", "title": "A large one"}, {"value": "red van"}]


async def slow() -> list[Json]:
    """What nobody waits for."""
    await asyncio.sleep(30)
    return ["too late"]


async def odder() -> Json:
    """What are no values."""
    return {"items": [None, 3, {"deep": [[]]}, {"value": None}, {"title": "no value"}, [["x"]]]}


async def crowd() -> list[Json]:
    """More than anybody reads."""
    return [f"value-{number}" for number in range(20_000)]


def stand() -> None:
    """Do nothing, in a console whose completer fails."""


async def broken() -> list[Json]:
    """What cannot be known."""
    raise RuntimeError("no idea")


def count(n: int = 1) -> Json:
    """A number."""
    return {"n": n}


WHENCE = {"slowly": "odd.slow", "never": "odd.broken", "nonsense": "odd.odder", "many": "odd.crowd"}


# -- a console like a remote device's own -------------------------------------------------------------


async def miss(ctx: Context, line: str, console: str = "") -> str:
    """Whatever is typed."""
    ctx.echo(f"to the device: {line!r}")
    return f"ok from {console}"


async def enter(ctx: Context) -> None:
    """Connect."""
    ctx.echo("connected")


async def leave(ctx: Context) -> None:
    """Disconnect."""
    ctx.echo("disconnected")


def status() -> str:
    """Of the device."""
    return "ready"


async def words(line: str) -> list[Json]:
    """What the device understands."""
    known = [{"value": "reboot now", "description": "start anew"}, {"value": "read 40001"}]
    return [word for word in known if str(word["value"]).startswith(line)]


async def judge(line: str) -> Json:
    """What the device does not."""
    return "the device knows no such word" if line.startswith("bad") else None


def refuse() -> None:
    """Not to be entered."""
    raise CommandFailed("the line is dead")


@hookimpl
def trunnion_commands() -> list[Command]:
    odd = [
        hello, ahello, exits, aexits, raises, fails, flood, threads, aflood, nap, talk, stubborn, block, noop, table,
        large, bar, steps, keep, levels, unlock,
    ]  # fmt: skip
    return [
        *(Command.of(function, console="odd", lock=None) for function in odd),
        Command.of(ask, console="odd", lock=None, confirm="Really do it?"),
        Command.of(move, console="odd", lock=None, complete={"car": "odd.cars", "to": "path"}),
        Command.of(dial, console="odd", lock=None, complete=WHENCE),
        *(Command.of(function, console="plc", lock=None) for function in (miss, enter, leave, status)),
        Command.of(refuse, console="dead", lock=None),
        Command.of(stand, console="lame", lock=None),
    ]


@hookimpl
def trunnion_queries() -> list[Query]:
    return [
        *(Query.of(function, console="odd") for function in (cars, slow, broken, count, odder, crowd)),
        *(Query.of(function, console="plc") for function in (words, judge)),
    ]


@hookimpl
def trunnion_consoles() -> list[Console]:
    return [
        Console(path="odd", title="Odd things", description="Each does one odd thing."),
        Console(
            path="plc",
            title="A device",
            prompt="{title}$ ",
            banner="Press nothing.\n",
            style={"prompt": "ansired bold"},
            accept_undefined=True,
            on_miss="plc.miss",
            on_enter="plc.enter",
            on_leave="plc.leave",
            completer="plc.words",
            validator="plc.judge",
        ),
        Console(path="dead", title="A dead line", on_enter="dead.refuse"),
        Console(path="lame", completer="odd.broken"),
        Console(path="sys", title="The system", accept_undefined="system"),
    ]

"""Commands in processes of their own that do what no host could bear in its own."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time

from trunnion import Command, Context, hookimpl


def fine(n: int) -> int:
    """Does nothing wrong."""
    return n + 1


def dies(how: str) -> None:
    """Dies in the middle of a sentence."""
    print("the last words")
    if how == "segfault":
        ctypes.string_at(0)
    elif how.startswith("exit"):
        os._exit(int(how.removeprefix("exit")))
    else:
        os.kill(os.getpid(), int(how))
        time.sleep(60)


def family(depth: int, width: int) -> None:
    """A tree of processes, each in a session of its own and deaf to all that can be ignored."""
    script = (
        "import os, signal, subprocess, sys, time\n"
        "os.setsid()\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "deep, wide, text = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]\n"
        "if deep:\n"
        "    for _ in range(wide):\n"
        "        subprocess.Popen([sys.executable, '-S', '-c', text, str(deep - 1), str(wide), text])\n"
        "time.sleep(300)\n"
    )
    for _ in range(width):
        subprocess.Popen([sys.executable, "-S", "-c", script, str(depth - 1), str(width), script])
    time.sleep(300)


def bomb(most: int) -> None:
    """Forks for as long as it may; the end is there so that a mistake of ours does not take the machine along."""
    for _ in range(most):
        if os.fork() == 0:
            os.setsid()
    time.sleep(300)


def deaf() -> None:
    """Ignores its end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(1)


def in_c() -> None:
    """Holds its interpreter."""
    print("down it goes")
    ctypes.PyDLL(None).sleep(300)


def one_line(mebibytes: int) -> None:
    """Prints, and never ends the line."""
    for _ in range(mebibytes):
        sys.stdout.write("y" * (1 << 20))


def emits(ctx: Context) -> None:
    """Never stops."""
    while True:
        ctx.data({"x": "x" * 500})


def rubbish() -> None:
    """Writes noise wherever somebody may listen."""
    noise = os.urandom(1 << 16)
    for descriptor in range(3, 16):
        try:
            os.write(descriptor, noise)
        except OSError:
            continue
    time.sleep(60)


@hookimpl
def trunnion_commands(settings: object) -> list[Command]:
    handlers = (fine, dies, family, bomb, deaf, in_c, one_line, emits, rubbish)
    return [Command.of(handler, console="apart", lock=None, isolate="process") for handler in handlers]

"""A host behind another process: its configuration, what goes wrong in it, and who is in front."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from faults_kit import TAG, tagged

from trunnion.launcher.behind import HostBehind
from trunnion.model.errors import TrunnionError
from trunnion.model.runs import Invocation, Run
from trunnion.protocol.client import Client

GRACE = 0.5
CONFIG = f"""
[host]
data_dir = "data"
[plugins]
dir = ["plugins"]
only = ["demo", "scripts", "odd"]
[executor]
shutdown_grace = {GRACE}
cancel_grace = 0.3
[scripts.tree]
run = ["/bin/sh", "-c", "setsid sleep 600 & sleep 600"]
pass_env = ["{TAG}"]
"""

ODD = '''
"""What goes wrong in a host, or only where nobody looks."""

import os
import sys
import time

from trunnion import command, commands_of, hookimpl

{at_import}


@command(console="odd")
async def hang() -> None:
    """Never yields."""
    open("hanging", "w").close()
    time.sleep(600)


@command(console="odd")
def prints() -> None:
    """Prints past everybody."""
    os.write(1, b"straight to standard output\\n")


@command(console="odd")
def spawns() -> None:
    """Starts a program that inherits whatever can be."""
    os.posix_spawn("/bin/sleep", ["sleep", "600"], dict(os.environ))


@hookimpl
def trunnion_commands(settings):
    return commands_of(sys.modules[__name__])
'''

FRONT = """
import asyncio, json, signal, sys
from trunnion.launcher.behind import HostBehind
from trunnion.launcher.options import Options

async def main():
    loop, seen = asyncio.get_running_loop(), asyncio.Queue()
    for number in (signal.SIGINT, signal.SIGTSTP, signal.SIGQUIT):
        loop.add_signal_handler(number, seen.put_nowait, number.name)
    behind = await HostBehind.start(Options())
    print(json.dumps({"pid": behind.pid}), flush=True)
    while True:
        print(await seen.get(), flush=True)

asyncio.run(main())
"""


def front(here) -> tuple[subprocess.Popen, int]:
    """A process with a host behind it, and the host's pid."""
    process = subprocess.Popen([sys.executable, "-c", FRONT], stdout=subprocess.PIPE, text=True, env=here.env)
    here.processes.append(process)
    return process, json.loads(process.stdout.readline())["pid"]


async def submit(host: HostBehind, command_id: str, **args: object) -> tuple[Client, Run]:
    client = await Client.connect(host.socket)
    run = await client.submit(Invocation(command_id=command_id, args=args))
    return client, run


async def asleep(client: Client, run: Run) -> None:
    """Wait until a ``demo.nap`` says that it sleeps."""
    async for batch in client.follow(f"run/{run.id}"):
        if any(event.text == "asleep\n" or event.text == "asleep" for event in batch):
            return


async def until_stopping(client: Client) -> None:
    """Wait until the host takes nothing new, which is when it has begun to stop."""
    with pytest.raises(TrunnionError, match="is stopping"):
        while True:
            await client.submit(Invocation(command_id="demo.greet"))


def others(here) -> set[int]:
    """The processes of this test that are alive, but for this one."""
    return tagged(here.tag).keys() - {os.getpid()}

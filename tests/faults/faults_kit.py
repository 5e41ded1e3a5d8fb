"""Hosts to be killed, and what is counted before and after: processes, descriptors, temporary files."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import checker
from history import History

from trunnion.model.runs import Invocation
from trunnion.protocol.client import Client

T = TypeVar("T")
HERE = Path(__file__).parent
PATIENCE = 20.0
TAG = "FAULTS_TAG"
"""In the environment of a host and of everything it starts, so that nothing it leaves behind can hide."""

CONFIG = """
[store]
durability = "{durability}"

[executor]
shutdown_grace = {grace}
cancel_grace = 0.5
max_running = 64

[scripts.tree]
# A program, its child, and a grandchild in a session of its own.
run = ["/bin/sh", "-c", "sleep 60 & setsid sleep 60 & sleep 0.1"]
lock = ""
pass_env = ["FAULTS_TAG"]

[scripts.long]
run = ["/bin/sh", "-c", "setsid sleep 60 & sleep 60"]
lock = ""
pass_env = ["FAULTS_TAG"]
"""


def until(met: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """Wait for a condition; what it returned once that was true."""
    deadline = time.monotonic() + seconds
    while not (value := met()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.005)
    return value


def tagged(tag: str) -> dict[int, str]:
    """The processes of one test's hosts, with their command lines; dead ones do not count."""
    found, mark = {}, f"{TAG}={tag}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:120]
    return found


def descriptors() -> list[str]:
    """What this process has open, but for what pytest itself comes and goes with."""
    gc.collect()
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(re.sub(r"\d+", "N", str(entry.readlink())))
    return sorted(found)


class Up:
    """A host process.

    Attributes:
        ready_after: seconds from its start until it said that it is up.
    """

    def __init__(self, process: subprocess.Popen[bytes], output: Path, begun: float) -> None:
        self.process = process
        self.output = output
        self.begun = begun
        self.ready_after = 0.0

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_ready(self) -> Up:
        until(lambda: "is up on" in self.said() or self.process.poll() is not None, "the host is up")
        assert self.process.poll() is None, self.said()
        self.ready_after = time.monotonic() - self.begun
        return self

    def kill(self) -> None:
        """SIGKILL to the host process alone."""
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = PATIENCE) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


class Ground:
    """One data directory with its plugin, history and effects, and the hosts that follow each other on it."""

    def __init__(
        self, root: Path, seed: str, *, grace: float = 5.0, durability: str = "process", with_intents: bool = False
    ) -> None:
        self.root = root
        self.seed = seed
        self.random = random.Random(seed)
        self.data = root / "data"
        self.history = root / "history.jsonl"
        self.effects = root / "effects.jsonl"
        self.intents = root / "intents.jsonl"
        self.with_intents = with_intents
        self.config = root / "trunnion.toml"
        self.config.write_text(CONFIG.format(grace=grace, durability=durability))
        self.temporary = root / "tmp"
        self.only = "faults,scripts"
        self.tag = f"{os.getpid()}-{random.SystemRandom().getrandbits(64):x}"
        self.told = History(self.history, "harness")
        self.hosts: list[Up] = []
        self.clients: list[subprocess.Popen[bytes]] = []

    # -- hosts ------------------------------------------------------------------------------------

    def environment(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRUNNION", "PYTHONDONTWRITEBYTECODE"))}
        self.temporary.mkdir(exist_ok=True)
        own = {
            "TMPDIR": str(self.temporary),
            TAG: self.tag,
            "FAULTS_EFFECTS": str(self.effects),
            **({"FAULTS_INTENTS": str(self.intents)} if self.with_intents else {}),
            "XDG_CONFIG_HOME": str(self.root / "xdg"),
        }
        return {**kept, **own, **more}

    def command(self, *args: str, without: str = "none") -> list[str]:
        """The program's command line, with a defence taken out on demand."""
        options = ["--config", self.config, "--data-dir", self.data, "--plugin-dir", HERE / "plugins"]
        program = [sys.executable, HERE / "sabotage.py", without, *options, "--only", self.only, *args]
        return [str(part) for part in program]

    def start(self, *, without: str = "none", wrapper: Sequence[str] = (), **env: str) -> Up:
        """Start a host; it may not be up yet, or never come up."""
        output = self.root / f"host-{len(self.hosts)}.out"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [*wrapper, *self.command("up", without=without)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=self.environment(**env),
                cwd=self.root,
                start_new_session=True,
            )
        host = Up(process, output, time.monotonic())
        self.told.tell("up", pid=process.pid)
        self.hosts.append(host)
        return host

    def up(self, **options: str) -> Up:
        return self.start(**options).wait_ready()  # type: ignore[arg-type]

    def run(self, *args: str, without: str = "none") -> subprocess.CompletedProcess[str]:
        """Run the program to its end."""
        return subprocess.run(
            self.command(*args, without=without),
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=self.environment(),
        )

    def orphans_gone(self, left: dict[int, str], seconds: float = 5.0) -> None:
        """R6: of the processes a dead host left, none lives after 5 s."""
        until(lambda: not (tagged(self.tag).keys() & left.keys()), f"gone: {left}", seconds)

    # -- clients ----------------------------------------------------------------------------------

    @property
    def socket(self) -> Path:
        return self.data / "run" / "host.sock"

    @property
    def database(self) -> Path:
        return self.data / "db" / "trunnion.sqlite"

    def load(self, processes: int = 3, tasks: int = 4) -> None:
        """Start client processes that work until ``close_load``."""
        for number in range(processes):
            log = (self.root / f"client-{number}.out").open("wb")
            args = [self.socket, self.history, f"c{number}", self.seed, tasks]
            command = [sys.executable, HERE / "load_client.py", *args]
            with log:
                self.clients.append(
                    subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE, stdout=log, stderr=log)
                )

    def wait_for_load(self, runs: int, events: int = 0) -> None:
        """Wait until the clients were told of more runs than so many, and were shown more events than so many."""

        def enough() -> bool:
            told = checker.lines_of(self.history)
            accepted = {line["key"] for line in told if line["what"] == "accepted"}
            seen = sum(len(line["events"]) for line in told if line["what"] == "seen")
            return len(accepted) > runs and seen > events

        until(enough, f"{runs} runs are accepted and {events} events seen", 120)

    def close_load(self) -> None:
        """Let the clients finish what they are at; each must leave by itself."""
        for client in self.clients:
            assert client.stdin is not None
            client.stdin.close()
        for number, client in enumerate(self.clients):
            client.wait(60)
            said = (self.root / f"client-{number}.out").read_text()
            assert client.returncode == 0 and not said, said
        self.clients.clear()

    def talk(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Do something over a connection of one's own."""

        async def connected() -> T:
            async with await Client.connect(self.socket) as client:
                return await work(client)

        return asyncio.run(connected())

    def drained(self, seconds: float = 60.0) -> None:
        """Wait until no run is alive."""

        async def idle(client: Client) -> None:
            deadline = time.monotonic() + seconds
            while page := await client.query("runs.list", {"status": ["pending", "running"], "limit": 3}):
                if not page["items"]:  # type: ignore[call-overload, index]
                    return
                assert time.monotonic() < deadline, f"still alive: {page}"
                await asyncio.sleep(0.02)

        self.talk(idle)

    # -- the end ----------------------------------------------------------------------------------

    def verdict(self) -> checker.Verdict:
        return checker.judge(self.data, self.history, self.effects, self.intents)

    def judged(self) -> dict[str, int]:
        """The figures of a data directory that must be in order; kept beside it for whoever looks."""
        verdict = self.verdict()
        assert not verdict.wrong, f"seed {self.seed}\n{verdict.shown()}"
        return verdict.figures()

    def close(self) -> None:
        """End every host and client; whatever a host started must be gone soon after."""
        for process in [host.process for host in self.hosts] + self.clients:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        self.told.close()
        left = {entry.name: entry.read_text() for entry in self.temporary.glob("*")}
        assert not left, left
        try:
            self.orphans_gone(tagged(self.tag))
        finally:
            for pid in tagged(self.tag):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


async def submit_many(ground: Ground, client: Client, command: str, count: int, **args: object) -> list[str]:
    """Start runs of one command; their ids, told to the history."""
    ids = []
    for number in range(count):
        token = f"{command}-{number}"
        own = {} if command.startswith("scripts.") else {"token": token, **args}
        run = await client.submit(Invocation(command_id=command, args=own, idempotency_key=token))
        ground.told.tell("accepted", key=token, run=run.id)
        ids.append(run.id)
    return ids


def tell(name: str, figures: dict[str, object]) -> None:
    """Print figures for whoever runs the rounds; pytest shows them with ``-s`` or on failure."""
    print(f"{name}: {json.dumps(figures)}", file=sys.stderr)

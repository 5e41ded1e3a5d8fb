"""Programs that do not want to end, a host to be killed, and a keeper with one defence taken out."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from faults_kit import TAG, tagged

from trunnion.process import Process, Spawn, client
from trunnion.process.keeper import tree

TREE = """#!/bin/sh
# A tree that ignores polite signals, leaves its session (first child) and forks twice (second).
trap '' TERM HUP INT
if [ "$1" -gt 0 ]; then
  for i in $(seq "$2"); do
    case $i in
      1) setsid "$0" $(($1 - 1)) "$2" & ;;
      2) ( "$0" $(($1 - 1)) "$2" & ) ;;
      *) "$0" $(($1 - 1)) "$2" & ;;
    esac
  done
fi
echo up
exec sleep 600
"""

HOST = """
    import asyncio, os, sys
    from trunnion.process import Cgroups, Keeper, Spawn, client

    async def main():
        script, depth, width, trees, tag, place, patch = sys.argv[1:]
        client._BOOT = client._BOOT.replace("main(int", patch + "main(int")
        async with Keeper(cgroups=Cgroups(place=place, host=tag, boot=str(os.getpid()))) as keeper:
            for _ in range(int(trees)):
                spawn = Spawn(argv=(script, depth, width), env={"FAULTS_TAG": tag, "PATH": os.defpath})
                process = await keeper.spawn(spawn)
                process.stdout.start(lambda data: None)
                print(keeper.pid, process.minder, process.mechanism, flush=True)
            await asyncio.Event().wait()

    asyncio.run(main())
"""


def size_of(depth: int, width: int) -> int:
    """How many processes a tree has."""
    return sum(width**level for level in range(depth + 1))


class Programs:
    """The programs of one test, known by a mark in their environment."""

    def __init__(self, folder: Path) -> None:
        self.tag = f"p{os.getpid()}{os.urandom(6).hex()}"
        self.env = {"PATH": os.environ["PATH"], TAG: self.tag}
        self.tree = folder / "tree"
        self.tree.write_text(TREE)
        self.tree.chmod(0o755)

    def alive(self) -> set[int]:
        return set(tagged(self.tag))

    def up(self, size: int, seconds: float = 180.0) -> None:
        """Wait until trees of so many processes have come to rest: each has said its line and sleeps."""
        what = f"{size} processes"
        timed(lambda: sum(words.startswith("sleep") for words in tagged(self.tag).values()) == size, what, seconds)

    def gone(self, what: str, seconds: float = 5.0, *, before: set[int] | None = None) -> float:
        """Wait until none is alive; the seconds it took.

        Args:
            what: for the message.
            seconds: how long it may take.
            before: those that were alive; looking at them alone is much quicker than looking for whoever there is.
        """
        if before is None:
            return timed(lambda: not self.alive(), what, seconds)
        return timed(lambda: not any(map(living, before)), what, seconds)

    def spawn(self, *argv: str, **options: object) -> Spawn:
        return Spawn(argv=argv, env=self.env, **options)  # type: ignore[arg-type]

    def python(self, code: str, *words: str, **options: object) -> Spawn:
        return self.spawn(sys.executable, "-I", "-S", "-c", code, *words, **options)

    def tree_of(self, depth: int, width: int, **options: object) -> Spawn:
        return self.spawn(str(self.tree), str(depth), str(width), **options)

    def host(self, depth: int, width: int, trees: int, *, place: str = "off", patch: str = "") -> subprocess.Popen[str]:
        """A process that keeps so many trees and tells of each: pids of keeper and minder, and the mechanism."""
        words = [str(self.tree), *map(str, (depth, width, trees)), self.tag, place, patch]
        command = [sys.executable, "-c", textwrap.dedent(HOST), *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def timed(met: Callable[[], object], what: str, seconds: float) -> float:
    """Wait for a condition that takes a walk over all processes to know; the seconds it took."""
    begun = time.monotonic()
    while not met():
        assert time.monotonic() - begun < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - begun


def end(pids: set[int]) -> None:
    """SIGKILL to each."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def without(patch: str) -> Iterator[None]:
    """Run a statement in the keepers that start meanwhile, before they work: a defence taken out."""
    with pytest.MonkeyPatch.context() as change:
        change.setattr(client, "_BOOT", client._BOOT.replace("main(int", f"{patch}main(int"))
        yield


async def lines_of(process: Process, count: int, seconds: float = 30.0) -> None:
    """Wait until a program has written so many lines."""
    seen, enough = 0, anyio.Event()

    def take(data: bytes) -> None:
        nonlocal seen
        seen += data.count(b"\n")
        if seen >= count:
            enough.set()

    process.stdout.start(take)
    with anyio.fail_after(seconds):
        await enough.wait()


def living(pid: int) -> bool:
    seen = tree.look(pid)
    return seen is not None and not seen.zombie


def parent(pid: int) -> int:
    seen = tree.look(pid)
    return seen.parent if seen else 0


def cgroup_place() -> Path | None:
    """A directory of cgroup v2 in which this test may make others; None where there is none."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        place = Path(words[4])
        if words[words.index("-") + 1] == "cgroup2" and os.access(place / "cgroup.procs", os.W_OK):
            return place if os.access(place, os.W_OK) else None
    return None

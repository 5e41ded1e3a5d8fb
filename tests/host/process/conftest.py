"""Real processes: each test marks its own by an environment variable and counts them in /proc."""

import contextlib
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from trunnion.process import Cgroups, Keeper, Spawn

DEADLINE = 5.0


class Marked:
    """The living processes that carry this test's mark in their environment."""

    def __init__(self) -> None:
        self.name = f"TRUNNION_TEST_{uuid.uuid4().hex}"
        self.env = {"PATH": os.environ["PATH"], self.name: "1"}

    def pids(self) -> list[int]:
        wanted = f"{self.name}=1".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and wanted in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def spawn(self, *argv: str, **options: object) -> Spawn:
        return Spawn(argv=argv, env={**self.env, **options.pop("env", {})}, **options)

    def python(self, code: str, **options: object) -> Spawn:
        return self.spawn(sys.executable, "-I", "-S", "-c", code, **options)


def await_true(condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> float:
    """Poll a real condition; return the seconds it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < deadline, f"not within {deadline} s: {what}"
        time.sleep(0.005)
    return time.monotonic() - start


@pytest.fixture
def until() -> Callable[..., float]:
    return await_true


@pytest.fixture
def auntil() -> Callable[..., object]:
    async def wait(condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
        with anyio.fail_after(deadline):
            while not condition():
                await anyio.sleep(0.005)

    return wait


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def marked() -> Marked:
    mark = Marked()
    yield mark
    for pid in mark.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
async def keeper() -> AsyncIterator[Keeper]:
    async with Keeper() as keeper:
        yield keeper


def cgroup_place() -> str:
    """A directory of cgroup v2 in which a test may make others; empty where there is none."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        place = Path(words[4])
        if words[words.index("-") + 1] == "cgroup2" and all(
            os.access(path, os.W_OK) for path in (place, place / "cgroup.procs")
        ):
            return str(place)
    return ""


@pytest.fixture
def place() -> str:
    found = cgroup_place()
    if not found:
        pytest.skip("no cgroup v2 here that this user may write to")
    return found


@pytest.fixture(params=["walk", "cgroup"])
async def any_keeper(request: pytest.FixtureRequest) -> AsyncIterator[Keeper]:
    """A keeper with each of the two ways to hold a tree together."""
    where = request.getfixturevalue("place") if request.param == "cgroup" else "off"
    cgroups = Cgroups(place=where, host=uuid.uuid4().hex, boot="1")
    async with Keeper(cgroups=cgroups) as keeper:
        yield keeper
        root = keeper.subtree.root
    assert not root or not Path(root).exists()


@pytest.fixture
def tree_script(tmp_path: Path) -> str:
    """A tree that ignores polite signals, leaves its session (first child) and double-forks (second)."""
    script = tmp_path / "tree"
    script.write_text(
        """#!/bin/sh
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
    )
    script.chmod(0o755)
    return str(script)

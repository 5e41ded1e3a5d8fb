"""Part H: a host whose every plugin is broken in its own way still starts, names each, and works."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults_kit import PATIENCE, Up, tell
from plugins_kit import Broken, states

BROKEN = {
    "exits": "import sys\nsys.exit(3)\n",
    "interrupts": "raise KeyboardInterrupt\n",
    "base": "raise BaseException('bare')\n",
    "misses": "import no_such_library\n",
    "syntax": "def (\n",
    "misnames": "from trunnion import hookimpl\n@hookimpl\ndef trunnion_comands():\n    return []\n",
    "lies": "from trunnion import hookimpl\n@hookimpl\ndef trunnion_commands():\n    return ['a']\n",
    "raises": "from trunnion import hookimpl\n@hookimpl\ndef trunnion_queries():\n    raise RecursionError('deep')\n",
    "dies": "class Dies:\n    def __del__(self):\n        raise SystemExit(9)\nDies()\n",
}
HANGS = "import threading\nthreading.Event().wait()\n"
GONE = "import os\nos._exit(99)\n"
SOUND = """
from trunnion import Command, hookimpl
def greet(name: str) -> str:
    return f"hello {name}"
@hookimpl
def trunnion_commands():
    return [Command.of(greet, console="sound")]
"""


@pytest.fixture
def broken(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Broken]:
    ground = Broken(tmp_path, request.node.name)
    yield ground
    ground.close()


def test_h1_a_host_full_of_broken_plugins_names_each_and_works(broken: Broken) -> None:
    broken.plugins({**BROKEN, "sound": SOUND})
    host = broken.up()
    found = states(broken)
    assert {name: found[name][0] for name in BROKEN if name != "dies"} == {n: "broken" for n in BROKEN if n != "dies"}
    assert all(found[name][1] for name in BROKEN if name != "dies")
    assert found["dies"][0] == found["sound"][0] == "loaded"
    done = broken.run("run", "sound.greet", "Ada")
    assert (done.returncode, done.stdout) == (0, "hello Ada\n")
    assert host.stop() == 0


def test_h1_without_the_fault(broken: Broken) -> None:
    broken.plugins({"sound": SOUND})
    host = broken.up()
    assert states(broken)["sound"] == ("loaded", "")
    assert host.stop() == 0


def test_h1_without_the_defence_the_first_broken_one_ends_the_host(broken: Broken) -> None:
    broken.plugins({"exits": BROKEN["exits"], "sound": SOUND})
    host = broken.start(without="let_plugins_through")
    assert host.process.wait(PATIENCE) != 0
    assert "is up on" not in host.said()
    for told in broken.temporary.glob("trunnion-*.log"):
        told.unlink()


def test_h12_without_the_fault(broken: Broken) -> None:
    broken.plugins({"sound": SOUND})
    broken.options = ["--safe-mode"]
    assert broken.up().stop() == 0


@pytest.mark.parametrize("source", [GONE, HANGS], ids=["leaves the process", "hangs"])
def test_h12_safe_mode_starts_whatever_is_installed(broken: Broken, source: str) -> None:
    """In at most 3 s, and none of the plugins' code runs: one of them would end or stop the process at import."""
    broken.plugins({**BROKEN, "worst": source})
    broken.options = ["--safe-mode"]
    times = []
    for _ in range(3):
        host = broken.up()
        times.append(host.ready_after)
        assert host.stop() == 0
    tell("H12", {"seed": broken.seed, "seconds": [round(t, 2) for t in times]})
    assert min(times) <= 3.0


def test_h12_without_the_defence_it_does_not_start(broken: Broken) -> None:
    broken.plugins({"worst": GONE})
    host: Up = broken.start()
    assert host.process.wait(PATIENCE) == 99


def test_h12_safe_mode_tells_what_it_left_out(broken: Broken) -> None:
    broken.plugins({"worst": GONE, "sound": SOUND})
    broken.options = ["--safe-mode"]
    done = subprocess.run(broken.command("run", "sound.greet", "Ada"), check=False, capture_output=True, text=True,
                          timeout=PATIENCE, env=broken.environment())  # fmt: skip
    assert done.returncode == 5
    assert "there is no command" in done.stderr

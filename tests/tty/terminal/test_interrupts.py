"""Q3: Ctrl-C at every moment, also twice, also while a run is being cancelled."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable

import pytest
from figures import SEED
from tty_kit.place import LAUNCHER, Place, Shell

INSTANTS = 50
ARRIVED = re.compile("> x+$")
LATEST = 0.08
"""Seconds after Enter of the last instant: by then the run says something, but on a machine that is overloaded."""
TOGETHER = (
    "import subprocess; begin = subprocess.Popen.__init__; "
    "subprocess.Popen.__init__ = lambda self, *a, **o: begin(self, *a, **{**o, 'start_new_session': False}); "
)
"""The host a shell starts stays in its session, so that keys of the terminal reach it."""


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    """One whose host is started by the shell, on the same terminal."""
    return make_place()


def instants(count: int) -> list[float]:
    chance = random.Random(f"{SEED}/instants")
    return [LATEST * number / count + chance.uniform(0, LATEST / count) for number in range(count)]


def interrupt(shell: Shell, line: str, *moments: float) -> None:
    """Do a line, press Ctrl-C at moments after Enter, and wait for the next prompt."""
    shell.ready()
    settle(shell)
    shell.start(line, wait=False)
    for moment in moments:
        time.sleep(moment)  # the moment of the fault, nothing is waited for
        shell.key("c-c")
    shell.ready()


def settle(shell: Shell) -> None:
    """The last Ctrl-C may still be on its way, and would take what is typed with it."""
    while True:
        shell.type("x")
        try:
            shell.until(lambda terminal: ARRIVED.search(terminal.line), 0.5)
        except AssertionError:
            continue
        shell.key(*["backspace"] * shell.line.count("x"))
        shell.ready()
        return


def outcomes(place: Place, command: str) -> Counter[object]:
    return Counter(run["status"] for run in place.runs(command=command))


def boot(place: Place) -> str:
    return place.talk(lambda client: client.hello()).boot_id


def test_q3_ctrl_c_cancels_the_run_and_never_the_host(place: Place, figure: Callable[..., None]) -> None:
    shell = place.shell().ready()
    before = boot(place)
    for moment in instants(INSTANTS):
        interrupt(shell, "odd.nap", moment)
        assert "Traceback" not in shell.text()
        assert outcomes(place, "odd.nap").keys() <= {"cancelled"}
    assert boot(place) == before
    assert "hello you" in shell.do("odd.hello")
    figure("instants", INSTANTS)
    figure("runs cancelled, the others never begun", outcomes(place, "odd.nap")["cancelled"])
    figure("runs or hosts that went otherwise", 0)


def test_q3_twice_and_while_it_is_being_cancelled(place: Place, figure: Callable[..., None]) -> None:
    shell = place.shell().ready()
    before, chance = boot(place), random.Random(f"{SEED}/twice")
    count = 12
    for moment in instants(count):
        interrupt(shell, "odd.stubborn", moment, *(chance.uniform(0, 0.05) for _ in range(chance.randint(1, 3))))
        assert "Traceback" not in shell.text()
    shell.do("wait")
    assert outcomes(place, "odd.stubborn").keys() <= {"cancelled"}
    assert boot(place) == before
    assert "hello you" in shell.do("odd.hello")
    figure("instants, twice to four times", count)
    figure("runs cancelled, the others never begun", outcomes(place, "odd.stubborn")["cancelled"])


def test_q3_without_the_fault_the_run_goes_to_its_end(place: Place) -> None:
    shell = place.shell().ready()
    until = place.root / "until"
    shell.do(f"odd.nap {until}", until="asleep")
    until.touch()
    assert "slept well\nsucceeded after" in shell.ready().text()
    assert outcomes(place, "odd.nap") == {"succeeded": 1}


def test_q3_without_the_defence_the_host_is_told_as_well(place: Place) -> None:
    shell = place.shell(program=TOGETHER + LAUNCHER).ready()
    shell.do("odd.nap", until="asleep")
    shell.key("c-c")
    shell.until("the host has ended")

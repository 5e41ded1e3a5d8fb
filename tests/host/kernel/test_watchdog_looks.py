"""What the watchdog concludes from two looks at the loop's thread, and whose a module is: by hand, on any machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunnion.kernel import watchdog
from trunnion.kernel.places import ModuleOwners, Spot
from trunnion.kernel.thread_times import Times

START = watchdog._Look(100.0, Times(1.0, 2.0, 3), Times(4.0, 5.0, 6), 7.0)
SECONDS = st.floats(0, 5)


def later(
    passed: float, *, cpu: float = 0, delayed: float = 0, turns: int = 0, own_delayed: float = 0, others: float = 0
) -> watchdog._Look:
    """A look some seconds after ``START``, with what had happened meanwhile."""
    loop, own = START.loop, START.own
    return watchdog._Look(
        START.at + passed,
        Times(loop.cpu + cpu, loop.delayed + delayed, loop.turns + turns),
        Times(own.cpu, own.delayed + own_delayed, own.turns),
        START.all_cpu + cpu + others,
    )


def had(look: watchdog._Look, *, asleep: bool, step: float = 0.05) -> float:
    return watchdog._had(START, look, step, asleep=asleep)


def test_who_sleeps_or_computes_has_the_loop_for_itself() -> None:
    assert had(later(0.05, turns=1), asleep=True) == pytest.approx(0.0455, abs=1e-6)
    assert had(later(0.05, cpu=0.05), asleep=False) == pytest.approx(0.05)
    assert had(later(0.05, cpu=0.02, turns=1), asleep=True) == pytest.approx(0.0455, abs=1e-6)


@given(passed=SECONDS, share=st.floats(0, 1), asleep=st.booleans())
def test_who_waits_for_a_processor_has_nothing(passed: float, share: float, asleep: bool) -> None:
    """Defence: what the kernel says about it, and that a thread that could run is not asleep."""
    assert had(later(passed, cpu=passed * (1 - share), delayed=passed * share), asleep=asleep) == pytest.approx(
        min(0.05, passed * (1 - share)), abs=1e-6
    )
    assert had(later(passed), asleep=False) == 0, "how long the last wait is going to be is not known yet"


@given(waits=st.integers(1, 1000))
def test_who_may_wait_for_the_interpreter_has_a_tenth_of_it(waits: int) -> None:
    passed = waits * sys.getswitchinterval()
    assert had(later(passed, turns=waits), asleep=True, step=10) == pytest.approx(passed / 10, abs=1e-6)


@given(passed=SECONDS)
def test_a_process_that_was_stopped_proves_no_more_than_a_look(passed: float) -> None:
    assert had(later(passed, turns=1), asleep=True) <= 0.05
    assert watchdog._held(START, later(passed, turns=1), 0.1) == ""


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (later(0.9, cpu=0.9), "here"),
        (later(0.9, cpu=0.3, delayed=0.6, own_delayed=0.6, turns=50), "here"),
        (later(0.9, cpu=0.01, others=0.9), "elsewhere"),
        (later(0.9, cpu=0.9, own_delayed=0.8), ""),
        (later(0.9, cpu=0.3, others=0.3, turns=50), "elsewhere"),
        (later(0.9, cpu=0.1, others=0.1), ""),
        (later(0.06, cpu=0.06), ""),
    ],
    ids=["held", "held, crowded", "another", "this thread was kept out", "in turns", "nobody computed", "in time"],
)
def test_the_interpreter_was_held_by_who_computed_while_the_watch_waited_for_it(look: object, said: str) -> None:
    assert watchdog._held(START, look, 0.1) == said


# -- whose a module is ----------------------------------------------------------------------------

MODULES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map(".".join)


@given(st.lists(st.tuples(st.sampled_from(["p", "q"]), MODULES)), st.randoms(), MODULES)
def test_the_order_in_which_modules_become_known_means_nothing(
    added: list[tuple[str, str]], random: object, asked: str
) -> None:
    one, other = ModuleOwners(), ModuleOwners()
    for plugin, module in added:
        one.add(plugin, module)
    random.shuffle(added)  # type: ignore[attr-defined]
    for plugin, module in added:
        other.add(plugin, module)
    assert one.owner(asked) == other.owner(asked)


def test_a_package_is_whose_all_of_it_is() -> None:
    owners = ModuleOwners()
    owners.add("web", "acme.web.plugin")
    assert owners.owner("acme.web.pages.start") == owners.owner("acme.tools") == "web"
    owners.add("jobs", "acme.jobs.plugin")
    assert owners.owner("acme.web.pages.start") == "web"
    assert owners.owner("acme.tools") == "", "two plugins share that package"
    owners.add("sly", "trunnion.kernel.core")
    owners.add("sly", "asyncio.tasks")
    assert owners.owner("trunnion.kernel.core") == owners.owner("asyncio.tasks") == ""
    assert owners.owner("requests.api") == ""


def test_the_innermost_frame_of_a_plugin_is_the_place() -> None:
    """A library a plugin calls is on the stack, but the line of the plugin is what its author knows."""
    owners, frames = ModuleOwners(), []
    scope = {"__name__": "library", "frames": frames, "sys": sys}
    exec("def call():\n    frames.append(sys._getframe())\n    return owners()", scope)
    spots: list[Spot] = []
    below = test_the_innermost_frame_of_a_plugin_is_the_place.__code__
    scope["owners"] = lambda: spots.append(owners.spot(frames[-1], below))
    owners.add("p", __name__)

    def plugin() -> None:
        scope["call"]()  # type: ignore[operator]

    plugin()
    assert spots[0].plugin == "p"
    assert spots[0].function.endswith("plugin")
    assert len(spots[0].stack) == 2


LOOKING = """
import gc, sys, threading, time
from trunnion.kernel.watchdog import stacks

class Slow:
    def __init__(self):
        self.me = self  # garbage for the collector alone

    def __del__(self):
        time.sleep(0.002)  # lets go of the interpreter, as closing a file does

def churn():
    while not over:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()

def look():
    gc.disable()
    Slow()
    gc.enable()
    LOOK()

over = []
gc.set_threshold(1)
churning = [threading.Thread(target=churn) for _ in range(4)]
for thread in churning:
    thread.start()
for _ in range(200):
    look()
over.append(1)
for thread in churning:
    thread.join()
print("looked", gc.isenabled())
"""


def looked(look: str, seconds: float) -> str | None:
    """What the program says, None when it stands still."""
    words = [sys.executable, "-c", LOOKING.replace("LOOK", look)]
    # Coverage has objects and hooks of its own in each thread: with it collections come at other moments.
    bare = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=bare) as process:
        try:
            return process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            return None


def test_looking_at_threads_that_come_and_go_does_not_stop_them() -> None:
    """Defence: no garbage is collected in ``stacks``."""
    assert looked("stacks", 60) == "looked True\n"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="later ones see to it themselves")
def test_without_that_the_process_stands_still() -> None:
    assert any(looked("sys._current_frames", 4) is None for _ in range(20))

"""The breather: it hands the interpreter over while the loop is busy, and costs next to nothing otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trunnion.kernel import threads
from trunnion.kernel.threads import Breather


class Machine:
    """A clock, and what the breather asks the machine for: how busy the loop was, and a nap."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, load: float) -> None:
        self.load = load
        self.now = 0.0
        self.naps: list[float] = []
        self.waits: list[float] = []
        self.due: Callable[[], None] | None = None
        monkeypatch.setattr(threads.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(threads.time, "thread_time", lambda: self.now * self.load)
        monkeypatch.setattr(threads.time, "sleep", self.naps.append)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Machine:
        self.waits.append(delay)
        self.due = callback
        return self

    def cancel(self) -> None:
        self.due = None

    def turn(self) -> None:
        """The time that was waited for passes."""
        self.now += self.waits[-1]
        due, self.due = self.due, None
        if due is not None:
            due()


def test_a_busy_loop_rests_every_interval_while_threads_are_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: the nap in ``Breather._tick``."""
    machine = Machine(monkeypatch, load=0.95)
    breather = Breather(machine)  # type: ignore[arg-type]  # it asks for nothing else of a clock
    breather.entered()
    for _ in range(10):
        machine.turn()
    assert machine.naps == [Breather.PAUSE] * 10
    assert set(machine.waits) == {Breather.INTERVAL}


def test_an_idle_loop_is_looked_at_less_and_less_and_never_put_to_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: the share of the loop's own time is asked for."""
    machine = Machine(monkeypatch, load=0.1)
    breather = Breather(machine)  # type: ignore[arg-type]
    breather.entered()
    for _ in range(10):
        machine.turn()
    assert machine.naps == []
    assert machine.waits[-1] == Breather.REST
    assert machine.waits == sorted(machine.waits)


def test_without_threads_at_work_nothing_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: the timer ends with the last thread's work, and begins with the next."""
    machine = Machine(monkeypatch, load=1.0)
    breather = Breather(machine)  # type: ignore[arg-type]
    breather.entered()
    breather.entered()
    breather.left()
    machine.turn()
    assert machine.due is not None
    breather.left()
    machine.turn()
    assert machine.due is None
    breather.entered()
    assert machine.due is not None

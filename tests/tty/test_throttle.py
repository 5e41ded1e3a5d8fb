"""What is shown of a run that says more than anybody can read."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from trunnion_tty.throttle import Throttle


def lines(begin: int, count: int) -> str:
    return "".join(f"{number}\n" for number in range(begin, begin + count))


def test_of_each_second_the_first_lines_are_shown_together() -> None:
    throttle = Throttle(10)
    assert throttle.admit(lines(0, 6), 100.0) == lines(0, 6)
    assert throttle.admit(lines(6, 6), 100.1) == lines(6, 4)
    assert throttle.admit(lines(12, 6), 100.9) == ""
    assert throttle.held == 8
    assert throttle.begins_anew(101.0)
    assert throttle.admit(lines(18, 600), 101.0) == lines(18, 10)
    assert not throttle.begins_anew(101.9)


def test_what_was_held_back_is_counted_once() -> None:
    throttle = Throttle(1)
    throttle.admit(lines(0, 5), 0.0)
    assert (throttle.told(), throttle.told()) == (4, 0)


def test_a_quiet_run_is_shown_whole() -> None:
    throttle = Throttle(3)
    assert all(throttle.admit(lines(at, 3), float(at)) == lines(at, 3) for at in range(50))
    assert throttle.held == 0


def test_one_line_at_once_may_be_more_than_one() -> None:
    assert Throttle(5).admit("a\nb\n", 0.0) == "a\nb\n"


STEPS = st.lists(st.tuples(st.floats(0, 3), st.integers(0, 60), st.booleans()), max_size=30)


@given(st.integers(1, 20), STEPS)
def test_lines_are_shown_at_the_rate_or_counted(rate: int, steps: list[tuple[float, int, bool]]) -> None:
    throttle, now, number, told = Throttle(rate), 1000.0, 0, 0
    shown: list[float] = []
    begun = [float("-inf")]
    for pause, count, asked in steps:
        now += pause
        begun += [now] if throttle.begins_anew(now) else []
        text = lines(number, count)
        number += count
        admitted = throttle.admit(text, now)
        assert text.startswith(admitted), "the first lines of what came, whole"
        shown += [now] * admitted.count("\n")
        assert len(shown) + told + throttle.held == number, "every line is shown or counted"
        if asked:
            told += throttle.told()
            assert throttle.held == 0
    assert all(later - earlier >= 1 for earlier, later in pairwise(begun))
    for earlier, later in pairwise([*begun, float("inf")]):
        assert sum(earlier <= at < later for at in shown) <= rate
    assert throttle.admit(lines(0, rate), now + 1) == lines(0, rate), "a second later all of it is there again"


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    throttle = Throttle(3)
    assert throttle.admit(lines(0, 5), 100.0) == lines(0, 3)
    assert throttle.admit(lines(5, 1), 1.0) == ""
    assert throttle.told() == 3

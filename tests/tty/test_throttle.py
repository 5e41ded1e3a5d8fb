"""What is shown of a run that says more than anybody can read."""

from __future__ import annotations

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

"""Q5: completion asks somebody who is slow, fails, answers nonsense, or does not answer at all."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
from tty_kit.place import Place, Shell

BEARABLE = 0.25
"""Seconds for the echo of a key on a machine that does other things as well; the figure says what it was."""


def echoes(shell: Shell, text: str) -> list[float]:
    """Type key by key, each once the one before is seen; seconds until each was."""
    found = []
    for key in text:
        wanted, began = shell.line + key, time.monotonic()
        shell.type(key)
        shell.until(lambda terminal, wanted=wanted: terminal.line == wanted)
        found.append(time.monotonic() - began)
    return found


def p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


@pytest.mark.parametrize("option", ["--slowly", "--never", "--nonsense"])
def test_q5_one_who_does_not_answer_offers_nothing_and_keeps_nobody(
    used: Shell, option: str, rounds: int, figure: Callable[..., None]
) -> None:
    took = []
    for _ in range(max(1, rounds // 10)):
        used.type(f"odd.dial 1 {option} ")
        used.until(lambda terminal: terminal.line.endswith(f"{option} "))
        took += echoes(used, "abcdefghijklmnopqrstuvwxyz")
        used.key("tab")
        took += echoes(used, "0123456789")
        assert used.menu() == []
        used.key("c-c")
        used.ready()
    assert p99(took) < BEARABLE
    assert "hello you" in used.do("odd.hello")
    figure(f"echo of a key, p99, {option.removeprefix('--')}", round(p99(took) * 1000, 1), "ms")


def test_q5_a_host_that_is_stopped_keeps_no_key_from_being_seen(place: Place, figure: Callable[..., None]) -> None:
    shell = place.shell().ready()
    assert place.host is not None
    place.host.send_signal(signal.SIGSTOP)
    shell.type("odd.move ")
    shell.until(lambda terminal: terminal.line.endswith("odd.move "))
    took = echoes(shell, "be --to /tmp/some/place/that/is/none")
    place.host.send_signal(signal.SIGCONT)
    assert p99(took) < BEARABLE
    figure("echo of a key, p99, host stopped", round(p99(took) * 1000, 1), "ms")


def test_q5_very_many_values_are_offered_in_part(used: Shell, figure: Callable[..., None]) -> None:
    used.type("odd.dial 1 --many ")
    used.until(lambda terminal: terminal.line.endswith("--many ") and terminal.menu()[:1] == ["value-0"])
    took = echoes(used, "value-99")
    used.until("value-99")
    assert p99(took) < 2 * BEARABLE
    figure("values", 20_000)
    figure("echo of a key, p99, very many", round(p99(took) * 1000, 1), "ms")


def test_q5_a_consoles_own_completer_that_fails_takes_no_names_away(used: Shell) -> None:
    used.start("use lame")
    used.until(lambda terminal: terminal.line.endswith("lame> "))
    used.type("sta")
    used.until("stand")
    used.key("c-c")
    used.ready()
    used.do("back")


def test_q5_without_the_fault_values_are_offered(used: Shell) -> None:
    used.type("odd.move b")
    used.until(lambda terminal: [row.split()[0] for row in used.menu()] == ["beetle", "bus"])

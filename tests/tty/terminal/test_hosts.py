"""Hosts that are busy, gone, started again, or the shell's own: the prompt stays alive and says so."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

import pytest
from tty_kit.place import Place

from trunnion.model.events import run_stream
from trunnion.protocol.client import Client

LINE = re.compile(r"^(?:[0-9a-f]{4}│ )?line (\d+) of the flood$", re.MULTILINE)


def test_a_blocked_host_leaves_the_prompt_alive_and_is_named(place: Place) -> None:
    until = place.root / "until"
    shell = place.shell()
    shell.do(f"odd.block {until} &", until="no answer for")
    shell.until("the host has not answered for 2 s")
    for letter in "help jobs x":  # nothing of the history is suggested behind it
        typed = shell.line + letter
        shell.type(letter)
        shell.until(lambda terminal, typed=typed: terminal.line == typed, 2)
    shell.key("c-c")
    shell.ready(2)
    until.touch()
    shell.until("the host answers again")
    assert "hello you" in shell.do("odd.hello")


def test_ctrl_c_ends_waiting_for_a_blocked_host(place: Place) -> None:
    """Whatever is asked of it."""
    until = place.root / "until"
    shell = place.shell()
    shell.do(f"odd.block {until} &", until="no answer for")
    for line in ("odd.hello", "jobs --all", "jobs show 1", "odd.count", "fg 1", "wait", "jobs cancel 1"):
        shell.ready(3)
        shell.start(line)
        shell.key("c-c")
        if line in ("odd.hello", "fg 1"):
            shell.until("Ctrl-C again ")
            shell.key("c-c")
    shell.ready(3)
    until.touch()
    shell.until("odd.block succeeded")
    assert "hello Ada" in shell.do("odd.hello Ada")


def test_a_run_asked_for_while_the_host_is_blocked_is_done_afterwards(place: Place) -> None:
    until = place.root / "until"
    shell = place.shell()
    shell.do(f"odd.block {until} &", until="no answer for")
    shell.ready()
    shell.start("odd.hello Ada")
    until.touch()
    shell.until("hello Ada")


def test_one_that_blocks_before_it_answers_is_given_up(place: Place) -> None:
    until = place.root / "until"
    shell = place.shell().ready()
    shell.start(f"odd.block {until} --at-once")
    shell.until("the host has not answered for 2 s")
    shell.key("c-c")
    shell.until("cancelling as soon as the host answers; Ctrl-C again not to wait for that")
    shell.key("c-c")
    shell.until("odd.block is cancelled should it have begun")
    shell.ready(2)
    until.touch()
    shell.until("the host answers again")


def test_a_window_that_is_closed_waits_for_no_host(place: Place) -> None:
    until = place.root / "until"
    shell = place.shell()
    shell.do(f"odd.block {until} &", until="no answer for")
    shell.ready()
    shell.hang_up()
    assert shell.wait(3) == 128 + signal.SIGHUP
    until.touch()


def test_a_killed_host_is_named_and_its_return_as_well(place: Place) -> None:
    shell = place.shell().ready()
    shell.type("odd.hello half")
    place.kill()
    shell.until("the host is gone")
    shell.until(lambda terminal: terminal.line.endswith("> odd.hello half"))
    place.up()
    shell.until("the host answers again")
    shell.until(lambda terminal: terminal.line.endswith("> odd.hello half"))
    shell.mark()
    shell.key("enter")
    shell.until("hello half")


def test_a_line_done_while_the_host_is_gone_waits_for_it(place: Place) -> None:
    shell = place.shell().ready()
    place.kill()
    shell.until("the host is gone")
    shell.ready()
    shell.start("odd.hello Ada")
    shell.until("the host is gone; waiting for it, Ctrl-C gives up")
    place.up()
    shell.until("hello Ada")


def test_ctrl_c_gives_up_waiting_for_a_host_that_is_gone(place: Place) -> None:
    shell = place.shell().ready()
    place.kill()
    shell.until("the host is gone")
    shell.ready()
    shell.start("odd.hello Ada")
    shell.until("the host is gone; waiting for it, Ctrl-C gives up")
    shell.key("c-c")
    assert "odd.hello has not begun" in shell.ready(3).text()
    place.up()
    shell.until("the host answers again")
    assert not place.runs(command="odd.hello")


@pytest.mark.parametrize("background", [False, True])
def test_a_shell_reconnects_with_its_cursors_and_loses_no_line(
    make_place: Callable[..., Place], background: bool
) -> None:
    """Killed in the midst of a flood: each line the store has was shown, once, in order; none was shown it has not."""
    place = make_place(tty="").up()
    shell = place.shell()
    shell.do("odd.flood 20000 --rate 20000" + " &" * background, until="line 100 of the flood")
    if background:
        shell.ready()
    place.kill()
    place.up()
    shell.until("odd.flood interrupted" if background else re.compile("^interrupted", re.MULTILINE), 30)
    text = shell.text()
    run = place.runs(command="odd.flood", limit=1)[0]

    async def stored(client: Client) -> str:
        stream = run_stream(str(run["id"]))
        return "".join([e.text async for batch in client.follow(stream, live=False) for e in batch if e.kind == "text"])

    kept = [int(number) for number in LINE.findall(place.talk(stored))]
    shown = [int(number) for number in LINE.findall(text)]
    if background:  # of what is too much some lines are shown, and the others counted
        held = sum(int(number) for number in re.findall(r"… (\d+) lines more", text))
        assert len(shown) + held == len(kept)
        assert shown == sorted(set(shown) & set(kept))
    else:
        assert shown == kept
    assert len(kept) > 100


def test_a_host_of_the_shells_own_ends_with_it(make_place: Callable[..., Place]) -> None:
    place = make_place()
    shell = place.shell().ready()
    assert "hello you" in shell.do("odd.hello")
    assert place.socket.exists()
    shell.key("c-d")
    assert shell.wait() == 0
    assert not place.socket.exists()


def test_a_host_of_the_shells_own_that_was_killed_is_started_again(make_place: Callable[..., Place]) -> None:
    place = make_place()
    shell = place.shell().ready()
    pid = place.talk(lambda client: client.query("host.status"))["pid"]  # type: ignore[index, call-overload]
    os.kill(int(str(pid)), signal.SIGKILL)
    shell.until("the host has ended, killed by SIGKILL")
    assert "hello you" in shell.do("odd.hello")


def test_runs_that_end_with_the_shells_own_host_are_told_before(make_place: Callable[..., Place]) -> None:
    place = make_place()
    shell = place.shell()
    shell.do("odd.nap &", until="asleep")
    shell.ready()
    shell.key("c-d")
    shell.until("1 run is under way on the host that ends with this shell; once more to leave all the same")
    shell.ready()
    other = place.shell()
    other.do("odd.nap &", until="asleep")
    shell.do("odd.hello")
    shell.enter("quit")
    shell.until("2 runs are under way on the host that ends with this shell, 1 from elsewhere; once more")
    other.close()
    shell.do("odd.hello")
    assert "2 runs are under way" in shell.do("quit"), "what was done in between was no wish to leave"
    shell.start("quit")
    assert shell.wait() == 0


def test_a_file_that_is_kept_from_leaving_goes_on_with_nothing(make_place: Callable[..., Place]) -> None:
    place = make_place()
    (place.root / "leaving.trn").write_text("odd.nap &\nquit\nodd.hello\n")
    shell = place.shell()
    said = shell.do("source leaving.trn")
    assert "once more to leave all the same\nthat was line 2 of leaving.trn\n" in said
    assert "hello you" not in said
    shell.start("quit")
    assert shell.wait() == 0


def test_a_shell_that_may_start_no_host_says_so(make_place: Callable[..., Place]) -> None:
    shell = make_place().shell("--no-start")
    assert shell.wait() == 9
    assert "no host" in shell.text()

"""Ctrl-C, Ctrl-D, Ctrl-Z, Ctrl-L: what each is about, and that none of them ends the shell by accident."""

from __future__ import annotations

import re
import shlex

from tty_kit.place import Place, Shell


def test_ctrl_c_clears_a_half_typed_line(used: Shell) -> None:
    used.type("odd.hello half")
    used.until(lambda terminal: terminal.line.endswith("half"))
    used.key("c-c")
    used.ready()
    assert "hello you" in used.do("odd.hello")


def test_ctrl_c_clears_a_line_that_goes_on(used: Shell) -> None:
    used.type("odd.hello 'half")
    used.key("enter")
    used.until(lambda terminal: terminal.line.startswith("... "))
    used.key("c-c")
    used.ready()


def test_ctrl_c_in_an_empty_line_does_nothing(used: Shell) -> None:
    used.key(*["c-c"] * 20)
    assert "hello you" in used.do("odd.hello")


def test_ctrl_c_cancels_the_run_that_is_waited_for(used: Shell, hosted: Place) -> None:
    used.do("odd.nap", until="asleep")
    used.key("c-c")
    shown = used.ready().text()
    assert "cancelling odd.nap; Ctrl-C again to leave it to itself" in shown
    assert "\ncancelled after " in shown
    assert hosted.runs(limit=1)[0]["status"] == "cancelled"


def test_ctrl_c_twice_leaves_a_run_to_itself(used: Shell, hosted: Place) -> None:
    used.do("odd.stubborn", until="asleep")
    used.key("c-c")
    used.until("cancelling")
    used.key("c-c")
    used.ready()
    assert "goes on" in used.text()
    used.until("odd.stubborn cancelled after")
    assert hosted.runs(limit=1)[0]["status"] == "cancelled"


def test_ctrl_c_gives_up_a_question(used: Shell) -> None:
    used.ready()
    used.start("odd.slow")
    used.until(lambda terminal: "> " not in terminal.line)
    used.key("c-c")
    assert "the answer was not waited for" in used.ready().text()


def test_ctrl_c_ends_waiting_for_jobs(used: Shell, hosted: Place) -> None:
    until = hosted.root / "waited"
    used.do(f"odd.nap {until} &", until="asleep")
    used.ready()
    used.start("wait")
    used.until(lambda terminal: "> " not in terminal.line)
    used.key("c-c")
    used.ready()
    until.touch()
    used.until("odd.nap succeeded")


def test_ctrl_d_leaves(hosted: Place) -> None:
    shell = hosted.shell().ready()
    shell.key("c-d")
    assert shell.wait() == 0
    assert shell.line == "", "whoever has the terminal next begins in an empty line"


def test_ctrl_d_in_a_half_typed_line_does_not(used: Shell) -> None:
    used.type("odd.hello Ada")
    used.until(lambda terminal: terminal.line.endswith("Ada"))
    used.key("c-d")
    used.mark()
    used.key("enter")
    used.until("hello Ada")


def test_ctrl_z_sends_a_run_to_the_background(used: Shell, hosted: Place) -> None:
    until = hosted.root / "sent"
    used.do(f"odd.nap {until}", until="asleep")
    used.key("c-z")
    assert "goes on" in used.ready().text()
    until.touch()
    used.until("odd.nap succeeded after")


def test_ctrl_l_empties_the_screen_and_keeps_the_line(used: Shell) -> None:
    used.do("odd.hello Ada")
    used.type("odd.hello again")
    used.until(lambda terminal: terminal.line.endswith("again"))
    used.key("c-l")
    used.until(lambda terminal: terminal.line.endswith("> odd.hello again") and terminal.look().cursor.y == 0)
    assert "Ada" not in "".join(used.screen())


def test_ctrl_backslash_does_nothing(used: Shell, hosted: Place) -> None:
    until = hosted.root / "unmoved"
    used.do(f"odd.nap {until}", until="asleep")
    used.type("\x1c")
    until.touch()
    used.until("awake")
    assert "hello you" in used.do("odd.hello")


def test_keys_are_not_echoed_amid_output(used: Shell, hosted: Place) -> None:
    until = hosted.root / "not-echoed"
    used.do(f"odd.nap {until}", until="asleep")
    used.type("zzz\x1b[A\x1b[Dxyz")
    until.touch()
    used.until("slept well")
    assert "zzz" not in used.text().partition("slept well")[0]
    used.until(lambda terminal: "xyz" in terminal.line)  # they are for the next line


def test_suspended_and_woken_it_draws_itself_again(place: Place) -> None:
    """Under a shell of the system with job control, which has the terminal meanwhile."""
    program = shlex.join(place.command("shell"))
    shell = Shell(["bash", "--norc", "--noprofile", "-i"], env={**place.env, "PS1": "sh% "}, cwd=place.root)
    place.shells.append(shell)
    shell.until(lambda terminal: terminal.line.endswith("sh% "))
    shell.enter(program)
    shell.until(lambda terminal: terminal.line.endswith("@trunnion> "))
    shell.type("odd.hello Ada")
    shell.until(lambda terminal: terminal.line.endswith("Ada"))
    shell.key("c-z")
    shell.until(lambda terminal: terminal.line.endswith("sh% "))
    shell.enter("echo mine; stty -a | grep -o '.echo '")
    shell.until(re.compile(r"^mine\n echo$", re.MULTILINE))  # it has its terminal as it was
    shell.until(lambda terminal: terminal.line.endswith("sh% "))
    shell.enter("fg")
    shell.until(lambda terminal: terminal.line.endswith("> odd.hello Ada"))
    shell.mark()
    shell.key("enter")
    shell.until("hello Ada")
    shell.until(lambda terminal: terminal.line.endswith("@trunnion> "))
    shell.enter("odd.ask")
    shell.until(lambda terminal: terminal.line.endswith("[y/N] "))
    shell.key("c-z")  # no part of the answer
    shell.until(lambda terminal: terminal.line.endswith("sh% "))
    shell.enter("fg")
    shell.until(lambda terminal: terminal.line.endswith("[y/N] "))
    shell.enter("y")
    shell.until("done")
    shell.until(lambda terminal: terminal.line.endswith("@trunnion> "))
    shell.key("c-d")
    shell.until(lambda terminal: terminal.line.endswith("sh% "))
    shell.enter("exit")


def test_ctrl_d_while_a_run_is_waited_for_does_not_leave_once_it_has_ended(used: Shell, hosted: Place) -> None:
    """Defence: it is no key for the next line: leaving may stop the host, and all that runs on it."""
    until = hosted.root / "not-left"
    used.do(f"odd.nap {until}", until="asleep")
    used.key("c-d")
    used.type("odd.hello after")
    until.touch()
    used.until(lambda terminal: terminal.line.endswith("> odd.hello after"))
    used.mark()
    used.key("enter")
    used.until("hello after")

"""Consoles: entered, left, looked into; and one that is like a remote device's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tty_kit.place import Place, Shell


def where(shell: Shell) -> str:
    return shell.ready().line


def test_a_console_makes_names_short(used: Shell) -> None:
    used.do("use odd")
    assert where(used).endswith("trunnion:odd> ")
    assert "hello Ada" in used.do("hello Ada")
    assert "hello Ada" in used.do("odd.hello Ada")
    used.do("back")
    assert where(used).endswith("@trunnion> ")


def test_back_is_absent_in_the_main_console(used: Shell) -> None:
    used.enter("back")
    used.until("back is for the other consoles")
    used.key("c-c")
    assert "back" not in [line.split(" ")[0] for line in used.do("help").replace("  ", "\n").split("\n")]
    used.do("use odd")
    assert "\n  back  " in used.do("?")


def test_quit_leaves_from_any_console(shell: Shell, hosted: Place) -> None:
    shell.do("use odd")
    shell.enter("quit")
    assert shell.wait() == 0
    assert hosted.batch("-c", "odd.hello").returncode == 0, "the host goes on"


def test_a_host_that_is_gone_keeps_nobody_in_a_console(place: Place) -> None:
    """Defence: ``quit`` asks it for nothing: what a console does as it is left was waited for, without end."""
    shell = place.shell()
    shell.do("use plc", until="connected")
    shell.until(lambda shell: shell.line == "A device$ ")
    place.kill()
    shell.until("the host is gone")
    shell.key("c-d")
    assert shell.wait() == 0


def test_help_says_how_something_is_called(used: Shell) -> None:
    shown = used.do("help odd.hello")
    assert "--tone" in shown
    assert "how it is said." in shown
    assert "Console" in used.do("help")
    assert "Greet somebody" in used.do("help odd")
    used.do("use odd")
    assert "Greet somebody" in used.do("?")
    assert "List runs" in used.do("? jobs")
    assert "there is no command 'helo'; did you mean" in used.do("help helo")


def test_a_console_that_is_not_there(used: Shell) -> None:
    assert "there is no console 'old'; did you mean odd?" in used.do("use old")


def test_a_line_to_a_device(used: Shell) -> None:
    """Banner, prompt, words of its own, what it does not understand, and commands of the host all the same."""
    used.ready()
    used.start("use plc")
    used.until(lambda terminal: terminal.line == "A device$ ")
    assert used.text().startswith("Press nothing.\nconnected\n")
    row = used.look().buffer[used.look().cursor.y]
    assert (row[0].fg, row[0].bold) == ("red", True)
    used.type("re")
    used.until("reboot now  start anew")
    used.type("boot now please")
    used.until(lambda terminal: terminal.line.endswith("reboot now please"))
    used.mark()
    used.key("enter")
    used.until("to the device: 'reboot now please'\nok from plc")
    used.until(lambda terminal: terminal.line == "A device$ ")
    assert "succeeded" not in used.text(), "a device does not tell that either"
    used.enter("bad idea")
    used.until("error: the device knows no such word")
    used.until(lambda terminal: terminal.line == "A device$ ")
    used.enter("status")
    used.until("ready\nsucceeded")
    used.enter("back")
    used.until("disconnected")
    used.ready()


def test_a_raw_line_reaches_the_device_as_it_was_typed(used: Shell) -> None:
    used.start("use plc")
    used.until(lambda terminal: terminal.line == "A device$ ")
    line = "set  x='1  2' \"y\" --z=$HOME # note"
    used.enter(line)
    used.until(f"to the device: {line!r}")
    used.until(lambda terminal: terminal.line == "A device$ ")
    used.enter("back")
    used.ready()


def test_one_that_cannot_be_entered(used: Shell) -> None:
    shown = used.do("use dead")
    assert "the line is dead" in shown
    assert "dead was not entered" in shown
    assert where(used).endswith("@trunnion> ")


def test_what_a_device_offers_comes_first_and_what_is_behind_it_is_not_offered(used: Shell) -> None:
    """Defence: those who come to a device look for its words, not for the host's commands that take them there."""
    used.start("use plc")
    used.until(lambda terminal: terminal.line == "A device$ ")
    used.enter("help")
    shown = used.until("A command of another console")
    assert re.search(r"^  status  Of the device$", shown, re.MULTILINE)
    assert not re.search(r"^  (miss|words|judge) ", shown, re.MULTILINE)
    used.until(lambda terminal: terminal.line == "A device$ ")
    used.mark()
    used.type("re")
    shown = used.until("record ")
    assert shown.index("reboot now") < shown.index("read 40001") < shown.index("record ")
    used.key("c-c")
    used.until(lambda terminal: terminal.line == "A device$ ")
    used.enter("back")
    used.ready()


def test_a_quote_in_a_line_to_a_device_opens_nothing(used: Shell) -> None:
    """Defence: ``goes_on``. "don't" waited for its end, and nothing but Ctrl-C came out of it."""
    used.start("use plc")
    used.until(lambda terminal: terminal.line == "A device$ ")
    used.enter("don't panic")
    used.until('to the device: "don\'t panic"')
    used.until(lambda terminal: terminal.line == "A device$ ")
    used.type("back 'x")
    used.key("enter")
    used.until(lambda terminal: terminal.line == "... ")  # a word of the shell's is quoted as ever
    used.key("c-c")
    used.until(lambda terminal: terminal.line == "A device$ ")
    used.enter("back")
    used.ready()


def test_the_system_s_shell_says_what_its_programs_say(used: Shell) -> None:
    """Defence: ``quiet``, and ``says_no_more`` of a result that is of interest only if something went wrong."""
    assert used.do("!echo well").splitlines()[:2] == ["well", used.line.rstrip()]
    shown = used.do("!exit 3")
    assert "exited with status 3" in shown and "failed after" in shown


def test_the_console_of_the_guide_is_as_the_guide_shows_it(make_place: Callable[..., Place], tmp_path: Path) -> None:
    guide = (Path(__file__).parents[3] / "docs/plugins.md").read_text(encoding="utf-8").partition("## Consoles\n")[2]
    code, _, session = guide.partition("```python\n")[2].partition("```\n\n```console\n")
    told = session.partition("```")[0]
    (tmp_path / "router.py").write_text(code)
    place = make_place()
    text = place.config.read_text().replace("dir = [", f'dir = ["{tmp_path}", ')
    place.config.write_text(text.replace("only = [", 'only = ["router", '))
    shell = place.shell().ready()
    for typed, prompt in (("use router", "Router 7# "), ("show version", "Router 7# "), ("back", "@trunnion> ")):
        assert f" {typed}\n" in told
        shell.start(typed)
        shell.until(lambda terminal, prompt=prompt: terminal.line.endswith(prompt))
    _, _, shown = "\n".join(line for line in shell.lines() if line).partition("@trunnion> ")
    assert shown.startswith(told.partition("@trunnion> ")[2].rpartition("\n")[0].rpartition("\n")[0])

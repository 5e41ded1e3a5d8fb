"""What a shell writes down, seen from outside: lines with secrets are nowhere, and nothing is no reason to fail."""

from __future__ import annotations

from tty_kit.place import LAUNCHER, Place, Shell

CANARY = "canary-7d11"
NOBODY = f"import os; os.getuid = lambda: 54321\n{LAUNCHER}"


def test_n4_a_secret_behind_the_first_line_is_in_no_history(hosted: Place) -> None:
    """Defence: ``Shell.shows_secret``: only the first of several lines is judged when Enter is pressed."""
    shell = hosted.shell().ready()
    shell.type("odd.count n=1001")
    shell.key("alt-enter")
    shell.type(f"odd.unlock code={CANARY}")
    shell.until(CANARY)
    shell.key("enter")
    shell.until("is secret")
    shell.do("odd.count n=1002")
    shell.close()
    kept = hosted.history.read_text()
    assert "n=1002" in kept
    assert CANARY not in kept


def test_n4_a_secret_is_in_no_recording(hosted: Place) -> None:
    """Defence: what may show a secret is not recorded, not even as a comment."""
    lines = f"record recorded.trn\nodd.unlock code={CANARY}\nodd.unlock {CANARY} x y z\nodd.fails\nodd.hello\n"
    done = hosted.batch("--keep-going", stdin=lines)
    assert "is secret" in done.stderr
    assert (hosted.root / "recorded.trn").read_text() == "# failed with status 1: odd.fails\nodd.hello\n"


def test_the_place_of_a_secret_is_recorded(hosted: Place) -> None:
    done = hosted.batch(stdin="record places.trn\nodd.unlock code=env:CODE\n", env={"CODE": CANARY})
    assert done.returncode == 0, done.stderr
    assert (hosted.root / "places.trn").read_text() == "odd.unlock code=env:CODE\n"


def test_a_line_that_is_no_text_ends_a_recording_shell_no_more_than_another(hosted: Place) -> None:
    done = hosted.batch("--keep-going", "-c", "record bytes.trn\nodd.hello \udcff\nodd.hello")
    assert "defect" not in done.stderr
    assert "hello you" in done.stdout


def test_a_shell_of_somebody_without_a_home(hosted: Place) -> None:
    """Defence: ``_from_home`` and ``default_path``."""
    shell = Shell(
        hosted.command("shell", program=NOBODY),
        env={name: value for name, value in hosted.env.items() if name not in ("HOME", "XDG_STATE_HOME")},
        cwd=hosted.root,
    )
    hosted.shells.append(shell)
    assert f"on {hosted.data}" in shell.ready().text().replace("\n", "")
    shell.do("odd.noop", until="succeeded")
    shell.close()
    assert not list(hosted.root.glob("~*"))


def test_a_place_that_holds_no_secret_is_named_as_the_line_does(hosted: Place) -> None:
    done = hosted.batch("-c", "odd.unlock code=env:NOT_THERE_AT_ALL")
    assert done.stderr == "error: code: there is no environment variable NOT_THERE_AT_ALL\n"

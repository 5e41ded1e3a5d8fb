"""Lines that nobody types, or that somebody types at a terminal that only prints: their ends, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tty_kit.place import Place, Shell


class Fifo:
    """A file that is never written."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._ends: list[int] = []

    def is_read(self) -> bool:
        """Whether one more has it open to be read; they wait from then on."""
        try:
            self._ends.append(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    def close(self) -> None:
        while self._ends:
            os.close(self._ends.pop())


@pytest.fixture
def fifo(hosted: Place) -> Iterator[Fifo]:
    made = Fifo(hosted.root / "fifo")
    yield made
    made.close()
    made.path.unlink()


def begun(hosted: Place, *args: str) -> Shell:
    shell = hosted.shell(*args)
    shell.until(lambda shell: shell.line.startswith("> "))
    return shell


@pytest.mark.parametrize(
    "line",
    ["odd.fails &\nfg 1", "odd.fails &\nwait", "odd.fails &\nwait 1", "odd.fails &\nodd.noop\nwait"],
    ids=["fg", "wait", "wait for it", "ended before"],
)
def test_a_run_in_the_background_that_failed_fails_whoever_waits_for_it(hosted: Place, line: str) -> None:
    """Defence: ``Acting.status`` is that of the run; lines went on behind what they are there to stop at."""
    done = hosted.batch("-c", f"{line}\nodd.hello")
    assert done.returncode == 1
    assert "hello" not in done.stdout


def test_what_was_waited_for_is_not_told_again(hosted: Place) -> None:
    """Defence: ``Job.collected``."""
    done = hosted.batch("--keep-going", "-c", "odd.fails &\nwait\nwait")
    assert done.returncode == 1
    done = hosted.batch("-c", "odd.noop &\nwait\nwait\nodd.hello")
    assert done.returncode == 0


def test_a_run_that_fails_again_fails_the_line(hosted: Place) -> None:
    done = hosted.batch("--keep-going", "-c", "odd.fails\nsource again.trn")
    (hosted.root / "again.trn").write_text("jobs rerun 1\nodd.hello\n")
    done = hosted.batch("--keep-going", "-c", "odd.fails\nsource again.trn")
    assert done.returncode == 1
    assert "hello" not in done.stdout


def test_the_second_ctrl_c_ends_the_lines_too(hosted: Place) -> None:
    """Defence: ``Running.stay`` says what it was left for; the next line was done as if nothing had happened."""
    shell = hosted.shell("-c", "odd.stubborn\nodd.hello")
    shell.until("asleep")
    shell.key("c-c")
    shell.until("one moment")
    shell.key("c-c")
    assert shell.wait() == 130
    assert "hello" not in shell.text()


def test_ctrl_c_at_the_prompt_of_a_terminal_that_only_prints_clears_the_line_and_no_more(hosted: Place) -> None:
    """Defence: ``signals.forget`` and ``_Lines.next``: the next run was cancelled by it."""
    shell = begun(hosted, "--plain")
    shell.type("odd.hello '\r")
    shell.until(lambda shell: shell.line == "... ")
    shell.type("half a line")
    shell.mark()
    shell.key("c-c")
    shell.until(lambda shell: shell.line == "> ")
    assert "hello you" in shell.do("odd.hello")
    shell.key("c-d")
    assert shell.wait() == 0


def test_quotes_mean_nothing_to_a_console_that_takes_any_line(hosted: Place) -> None:
    """Defence: ``Typed.goes_on``; what followed was waited for, for the quote to end."""
    shell = begun(hosted, "--plain")
    shell.do("use plc")
    assert 'to the device: "don\'t"' in shell.do("don't")
    shell.do("back")
    shell.key("c-d")
    assert shell.wait() == 0
    done = hosted.batch(stdin="use plc\ndon't\nback\nodd.hello Bob\n")
    assert done.returncode == 0
    assert "hello Bob\n" in done.stdout


def test_ctrl_c_while_lines_of_a_pipe_are_waited_for_is_the_end(hosted: Place) -> None:
    shell = subprocess.Popen(
        hosted.command("shell"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=hosted.env, cwd=hosted.root, text=True,
    )  # fmt: skip
    with shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        assert shell.stderr is not None
        shell.stdin.write("odd.hello\n")
        shell.stdin.flush()
        assert "greeting" in shell.stdout.readline()
        shell.stderr.readline()
        shell.send_signal(signal.SIGINT)
        assert shell.wait(15) == 130


@pytest.mark.parametrize("line", ["source fifo", "odd.unlock code=file:fifo"])
def test_q3_ctrl_c_does_not_wait_for_a_file_that_nobody_writes(used: Shell, fifo: Fifo, line: str) -> None:
    """Defence: ``Shell.read`` and ``_from_source``: nothing could end that but somebody who writes the file."""
    used.start(line)
    used.until(lambda _: fifo.is_read())
    used.key("c-c")
    used.ready()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_shell_that_reads_such_a_file_can_be_ended(hosted: Place, fifo: Fifo, number: signal.Signals) -> None:
    """Defence: ``in_thread``: the threads of asyncio are waited for before the process ends."""
    shell = hosted.shell(str(fifo.path))
    shell.until(lambda _: fifo.is_read())
    shell.signal(number)
    assert shell.wait() == 130


def test_a_file_may_be_what_another_program_writes(hosted: Place, fifo: Fifo) -> None:
    shell = hosted.shell(str(fifo.path))
    fifo.path.write_text("odd.hello\n")
    assert shell.wait() == 0
    assert "hello you" in shell.text()


def test_a_line_that_is_wider_than_the_terminal_is_still_one(hosted: Place) -> None:
    """Defence: ``prompt_continuation`` tells the two apart."""
    shell = hosted.shell(size=(30, 40)).ready()
    shell.type("odd.hello " + "x" * 60)
    shell.until(lambda shell: shell.line.endswith("> odd.hello " + "x" * 60))
    shell.key("alt-enter")
    shell.until(lambda shell: shell.line == "... ")


def test_ctrl_c_gives_up_what_a_stopped_host_is_asked_about_jobs(place: Place) -> None:
    """Defence: ``Running.query`` and ``cancel`` wait as all else does; nothing but the host could end that."""
    assert place.host is not None
    shell = place.shell()
    shell.do("odd.hello")
    place.host.send_signal(signal.SIGSTOP)
    for line in ("--all", "show 1", "result 1", "rerun 1", "export 1", "follow 1", "cancel 1", "show abcd"):
        shell.start(f"jobs {line}")
        shell.key("c-c")
        shell.ready()
    place.host.send_signal(signal.SIGCONT)
    assert "hello you" in shell.do("odd.hello")


@pytest.mark.parametrize("lines", ["odd.hello\nodd.noop", "odd.hello &\nwait\nodd.noop", "odd.noop\nodd.count"])
def test_output_that_cannot_be_written_ends_the_lines(hosted: Place, lines: str) -> None:
    """Defence: ``Screen.put`` says so: what was lost was told nobody, and status 0."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            hosted.command("shell", "-c", lines), stdout=full, stderr=subprocess.PIPE, check=False, text=True,
            env={name: value for name, value in hosted.env.items() if name != "PYTHONUNBUFFERED"}, cwd=hosted.root,
        )  # fmt: skip
    assert done.returncode == 9
    assert "Traceback" not in done.stderr
    assert "standard output cannot be written" in done.stderr
    assert "odd.noop" not in done.stderr or lines.startswith("odd.noop")


def test_a_line_of_a_file_that_fails_is_told_by_its_number(hosted: Place) -> None:
    """Defence: ``origin``. Of a file that runs at night the error alone does not say where to look."""
    (hosted.root / "inner.trn").write_text("odd.hello\n\nodd.fails\n")
    (hosted.root / "outer.trn").write_text("# does it\nsource inner.trn\n")
    done = hosted.batch("outer.trn")
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("that was line")]
    assert told == ["that was line 3 of inner.trn", "that was line 2 of outer.trn"]
    assert "that was" not in hosted.batch("-c", "odd.hello\nodd.fails").stderr

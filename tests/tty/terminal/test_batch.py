"""Lines of a file, of a pipe, of ``-c``: done one after the other, up to the first that fails unless told otherwise."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
from tty_kit.place import Place, Shell


def script(place: Place, *lines: str) -> Path:
    path = place.root / "script.trn"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_line(hosted: Place) -> None:
    done = hosted.batch("-c", "odd.hello Ada")
    assert (done.returncode, done.stdout) == (0, "greeting Ada\nhello Ada\n")


def test_several_lines_are_done_in_order_up_to_the_first_error(hosted: Place) -> None:
    done = hosted.batch("-c", "use odd", "-c", "hello Ada", "-c", "fails", "-c", "hello Bob")
    assert done.returncode == 1
    assert "hello Ada\n" in done.stdout
    assert "hello Bob\n" not in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("odd.noop",),
        ("odd.fails",),
        ("odd.raises",),
        ("odd.nosuch",),
        ("odd.hello", "--bad"),
        ("odd.hello", "--times", "x"),
    ],
)
def test_the_exit_status_is_that_of_trunnion_run(hosted: Place, words: tuple[str, ...]) -> None:
    assert hosted.batch("-c", " ".join(words)).returncode == hosted.run("run", *words).returncode


def test_a_file(hosted: Place) -> None:
    path = script(hosted, "# a comment", "use odd", "", "hello Ada", "hello 'Bob", "Brown'", "hello \\", "  Carol")
    done = hosted.batch(str(path))
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line.startswith("hello")] == [
        "hello Ada",
        "hello Bob",
        "hello Carol",
    ]


def test_a_pipe(hosted: Place) -> None:
    done = hosted.batch(stdin="use odd\nhello Ada\nback\nodd.hello Bob\n")
    assert done.returncode == 0
    assert "hello Ada\n" in done.stdout
    assert "hello Bob\n" in done.stdout


def test_the_first_error_ends_it(hosted: Place) -> None:
    for done in (
        hosted.batch(stdin="odd.fails\nodd.hello\n"),
        hosted.batch(str(script(hosted, "odd.fails", "odd.hello"))),
    ):
        assert done.returncode != 0
        assert "hello" not in done.stdout
        assert "no space on the tape" in done.stderr


def test_unless_it_is_to_go_on(hosted: Place) -> None:
    done = hosted.batch("--keep-going", str(script(hosted, "odd.fails", "odd.nosuch", "odd.hello --bad", "odd.hello")))
    assert done.returncode != 0
    assert "hello you" in done.stdout


def test_quit_in_the_midst_ends_it(hosted: Place) -> None:
    done = hosted.batch(stdin="use odd\nquit\nodd.hello\n")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_statement_is_done_as_soon_as_it_is_there(hosted: Place) -> None:
    """Whoever writes to the pipe sees what came of one line before the next."""
    process = subprocess.Popen(
        hosted.command("shell"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=hosted.env,
        cwd=hosted.root,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name in ("Ada", "Bob"):
            process.stdin.write(f"odd.hello {name}\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"greeting {name}\n"
            assert process.stdout.readline() == f"hello {name}\n"
        process.stdin.close()
        assert process.wait(20) == 0


def test_nothing_is_drawn_in_a_pipe(hosted: Place) -> None:
    done = hosted.batch(stdin="odd.bar\nodd.levels\nodd.table\nodd.nap &\njobs cancel 1\nodd.large\n")
    assert "\x1b" not in done.stdout + done.stderr
    assert "\r" not in done.stdout + done.stderr
    assert json.loads(done.stdout[done.stdout.index('{\n  "items"') :])["items"][-1] == 999


def test_a_job_in_the_background_is_marked_and_waited_for(hosted: Place) -> None:
    until = hosted.root / "batch-until"
    until.touch()
    done = hosted.batch(stdin=f"odd.nap {until} &\nwait\nodd.hello\n")
    assert done.returncode == 0
    assert "| asleep" in done.stdout + done.stderr
    assert "odd.nap succeeded" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_nothing_comes_ends_it(hosted: Place, number: signal.Signals) -> None:
    process = subprocess.Popen(
        hosted.command("shell"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=hosted.env,
        cwd=hosted.root,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("odd.hello\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.readline()
        assert "succeeded" in process.stderr.readline()
        process.send_signal(number)
        assert process.wait(20) != 0
        assert "Traceback" not in process.stderr.read()


def test_ctrl_c_cancels_what_a_line_is_at(hosted: Place) -> None:
    process = subprocess.Popen(
        hosted.command("shell", "-c", "odd.nap"), stdout=subprocess.PIPE, text=True, env=hosted.env, cwd=hosted.root
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asleep\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert hosted.runs(command="odd.nap", limit=1)[0]["status"] == "cancelled"


def test_a_file_that_is_none(hosted: Place) -> None:
    assert hosted.batch("no-such-file").returncode == 2
    both = hosted.batch("-c", "odd.hello", str(script(hosted, "odd.hello")))
    assert both.returncode == 2
    assert "leave one out" in both.stderr


# -- source and record ------------------------------------------------------------------------------


def test_what_was_recorded_can_be_done_again(hosted: Place, shell: Shell) -> None:
    path = hosted.root / "session.trn"
    shell.do(f"record {path}")
    assert "recording to session.trn" in shell.text()
    shell.do("use odd")
    shell.do("hello Ada --loud")
    shell.do("fails")
    shell.do("hello 'two words'")
    shell.do("help")
    shell.do("back")
    shell.do("record off")
    assert path.read_text().splitlines() == [
        "use odd",
        "hello Ada --loud",
        "# failed with status 1: fails",
        "hello 'two words'",
        "back",
    ]
    done = hosted.batch(str(path))
    assert done.returncode == 0
    assert "HELLO ADA\n" in done.stdout
    assert "hello two words\n" in done.stdout
    assert "is there already" in shell.do(f"record {path}")


def test_a_recording_begins_in_the_console_it_was_begun_in(hosted: Place, shell: Shell) -> None:
    path = hosted.root / "within.trn"
    shell.do("use odd")
    shell.do(f"record {path}")
    shell.do("hello Ada")
    shell.do("record off")
    assert hosted.batch(str(path)).stdout == "greeting Ada\nhello Ada\n"


def test_a_file_is_read_at_the_prompt_up_to_its_first_error(hosted: Place, shell: Shell) -> None:
    path = script(hosted, "odd.hello one", "odd.fails", "odd.hello two")
    shown = shell.do(f"source {path}")
    assert "hello one" in shown
    assert "hello two" not in shown
    assert "hello two" in shell.do(f"source {path} --keep-going")


def test_files_that_read_one_another_end(hosted: Place, shell: Shell) -> None:
    path = script(hosted, f"source {hosted.root / 'script.trn'}")
    assert "files read one another" in shell.do(f"source {path}")


def test_ctrl_c_ends_a_file_that_is_being_read(hosted: Place, shell: Shell) -> None:
    path = script(hosted, "odd.nap", "odd.hello two")
    shell.do(f"source {path}", until="asleep")
    shell.key("c-c")
    assert "hello two" not in shell.ready().text()


def test_a_system_line_is_a_run_of_the_hosts_command(hosted: Place, shell: Shell) -> None:
    assert "4\n" in shell.do("!echo $((2 + 2))")
    shell.do("use sys")
    assert shell.do("echo $((2 * 3)) 'a  b'").startswith("6 a  b\n")
    assert hosted.runs(limit=1)[0]["command_id"] == "shell.run"
    assert "hello you" in shell.do("odd.hello")


def test_a_kept_file_is_named_by_its_path(hosted: Place) -> None:
    """As ``trunnion run`` does it; an id is of no use to whoever reads a log."""
    done = hosted.batch("-c", "odd.keep\nodd.keep &\nwait")
    paths = re.findall(r"artifact: report.txt, 5 B, (\S+)", done.stderr)
    assert [Path(path).read_bytes() for path in paths] == [b"hello"] * 2


def test_of_many_jobs_as_many_are_listed_as_were_asked_for(hosted: Place) -> None:
    def listed(words: str) -> tuple[list[str], str]:
        done = hosted.batch("-c", f"odd.noop\nodd.noop\nodd.noop\njobs {words}")
        return [line.split("\t")[0] for line in done.stdout.splitlines()[1:]], done.stderr

    assert listed("--limit 2")[0] == ["2", "3"]
    assert listed("--limit 0")[0] == []
    numbers, told = listed("--all --limit 2")
    assert numbers == ["3", "2"]
    assert "there are more" in told
    assert "there are more" not in listed("--command odd.noop --status running")[1]

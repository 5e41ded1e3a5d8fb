"""Jobs: runs in the background, what they say meanwhile, and what can be done with them."""

from __future__ import annotations

import json
import re
from functools import partial

from tty_kit.place import Place, Shell


def said(text: str, shell: Shell) -> bool:
    """Whether something was ever to be seen."""
    return text in "\n".join(shell.lines())


def background(shell: Shell, line: str) -> tuple[str, str]:
    """Start a job; its number and its tag."""
    shown = shell.do(f"{line} &", until=re.compile(r"^\[(\d+)\] ([0-9a-f]{4}) ", re.MULTILINE))
    found = re.search(r"^\[(\d+)\] ([0-9a-f]{4}) ", shown, re.MULTILINE)
    assert found is not None
    shell.ready()
    return found[1], found[2]


def test_output_comes_while_one_types(used: Shell, hosted: Place) -> None:
    """Whole lines above the line, each marked with its run, and the line stays as it is, with its cursor in it."""
    until = hosted.root / "typing"
    _, tag = background(used, f"odd.talk {until}")
    used.type("odd.hello half typed")
    used.key(*["left"] * 6)
    used.until(lambda terminal: terminal.line.endswith("half"))
    for number in range(5):
        with until.open("a") as file:
            file.write(f"word {number}\n")
        used.until(f"{tag}│ word {number}")
        used.until(
            lambda terminal: terminal.line.endswith("> odd.hello half") and whole(terminal).endswith("half typed")
        )
    with until.open("a") as file:
        file.write("end\n")
    used.until("odd.talk succeeded")
    used.until(lambda terminal: whole(terminal).endswith("> odd.hello half typed"))


def whole(shell: Shell) -> str:
    """The line the cursor is in."""
    model = shell.look()
    return model.rows[model.cursor.y]


def test_a_finished_job_announces_itself_without_breaking_the_line(used: Shell, hosted: Place) -> None:
    until = hosted.root / "announced"
    number, tag = background(used, f"odd.nap {until}")
    used.type("odd.hello half")
    used.until(lambda terminal: terminal.line.endswith("half"))
    until.touch()
    used.until(re.compile(rf"^\[{number}\] {tag} odd\.nap succeeded after ", re.MULTILINE))
    used.until(lambda terminal: terminal.line.endswith("> odd.hello half"))


def test_a_failed_job_says_why(used: Shell) -> None:
    used.do("odd.raises &", until=re.compile(r"odd\.raises failed after .*: ValueError: a defect"))


def test_the_prompt_says_how_many_run(shell: Shell, hosted: Place) -> None:
    until = hosted.root / "counted"
    background(shell, f"odd.nap {until}")
    background(shell, f"odd.nap {until}")
    shell.until(lambda terminal: "[2]> " in terminal.line)
    assert "2 running" in shell.text()
    until.touch()
    shell.until(lambda terminal: re.search(r"trunnion> $", terminal.line))


def test_jobs_are_listed_shown_and_cancelled(shell: Shell, hosted: Place) -> None:
    shell.do("odd.hello")
    number, tag = background(shell, "odd.nap")
    shown = shell.do("jobs")
    assert re.search(rf"^{number} +{tag} +odd\.nap +running", shown, re.MULTILINE), shown
    shell.type("jobs cancel ")
    shell.until(lambda terminal: terminal.menu() != [])
    assert [row.split() for row in shell.menu()] == [[number, "odd.nap", "running"]], "what has ended is not offered"
    shell.key("c-c")
    told = shell.do(f"jobs show {tag}")
    assert re.search(r"^command +odd\.nap$", told, re.MULTILINE), told
    assert re.search(r"^created +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", told, re.MULTILINE), told
    shell.do(f"jobs cancel {number}", until="odd.nap cancelled")
    assert re.search(rf"^{number} +{tag} +odd\.nap +cancelled", shell.ready().do("jobs"), re.MULTILINE)
    assert hosted.runs(limit=1)[0]["status"] == "cancelled"


def test_fg_waits_again_and_ctrl_c_cancels_then(shell: Shell, hosted: Place) -> None:
    until = hosted.root / "fg"
    background(shell, f"odd.nap {until}")
    shell.ready()
    shell.start("fg")
    until.touch()
    assert "slept well\nsucceeded after" in shell.ready().text()
    background(shell, "odd.nap")
    shell.start("fg")
    shell.until("odd.nap, ")
    shell.key("c-c")
    assert "cancelled after" in shell.ready().text()


def test_a_job_is_rerun_its_result_asked_for_and_exported(shell: Shell, hosted: Place) -> None:
    shell.do("odd.hello Ada")
    assert shell.do("jobs result 1").startswith("hello Ada\n")
    assert "hello Ada" in shell.do("jobs rerun 1")
    to = hosted.root / "exported.jsonl"
    shell.do(f"jobs export 1 --to {to}")
    lines = [json.loads(line) for line in to.read_text().splitlines()]
    assert any("greeting Ada" in str(line) for line in lines)
    assert "is there already" in shell.do(f"jobs export 1 --to {to}")


def test_jobs_of_all_doors_are_listed_and_filtered(shell: Shell, hosted: Place) -> None:
    assert hosted.batch("-c", "odd.count").returncode == 0
    assert hosted.batch("-c", "odd.fails").returncode != 0
    shell.do("odd.hello Ada")
    shown = shell.do("jobs --status failed --limit 1")
    assert re.search(r"odd\.fails +failed +\S+ +tty", shown), shown
    assert "odd.fails" not in shell.do("jobs --command odd.hello --limit 3")
    assert "odd.hello" in shell.do("jobs --all --limit 5")
    assert "there are no such runs" in shell.do("jobs --source web")


def test_a_run_of_another_door_is_followed_and_fetched(shell: Shell, hosted: Place) -> None:
    from trunnion.model.runs import Invocation

    until = hosted.root / "followed"
    run = hosted.talk(lambda client: client.submit(Invocation(command_id="odd.nap", args={"until": str(until)})))
    shell.start(f"jobs follow {run.id}")
    shell.until("asleep")
    shell.key("c-c")
    assert "no longer looking on; odd.nap goes on by itself" in shell.ready().text()
    shell.start(f"fg {run.id[-6:]}")
    shell.until("asleep")
    until.touch()
    assert "slept well" in shell.ready().text()


def test_runs_side_by_side_keep_their_lines_apart(shell: Shell) -> None:
    tags = [background(shell, "odd.flood 60")[1] for _ in range(3)]
    shell.do("wait", patience=30)
    for tag in tags:
        shell.until(partial(said, f"{tag} odd.flood succeeded"))
        lines = re.findall(rf"^{tag}│ line (\d+) of the flood$", "\n".join(shell.lines()), re.MULTILINE)
        assert lines == [str(number) for number in range(60)]


def test_more_than_can_be_read_is_counted_and_can_be_followed(shell: Shell) -> None:
    number, tag = background(shell, "odd.flood 5000")
    shell.until(re.compile(rf"{tag} odd\.flood succeeded"), 30)
    text = "\n".join(shell.lines())
    shown = re.findall(rf"^{tag}│ line (\d+) of the flood$", text, re.MULTILINE)
    held = [
        int(count) for count in re.findall(rf"^{tag}│ … (\d+) lines more; jobs follow {number} shows all$", text, re.M)
    ]
    assert len(shown) + sum(held) == 5000
    assert len(shown) < 1500
    shell.do(f"jobs follow {number}", patience=30)
    assert len(re.findall(r"^line (\d+) of the flood$", shell.text(), re.MULTILINE)) == 5000


def test_a_rerun_asks_for_the_secrets_that_were_not_kept(shell: Shell, hosted: Place) -> None:
    """Defence: ``secrets_again``. The host refused it, and named a command line for another program."""
    for line in ("odd.unlock door=back", "jobs rerun"):
        shell.ready()
        shell.start(line)
        shell.until("code:")
        shell.type("sesame\r")
        shown = shell.ready().text()
        assert re.search(r"at the back door\s+6\s", shown), shown
    newest, *_ = hosted.runs(command="odd.unlock", limit=1)
    assert newest["rerun_of"]


def test_what_has_ended_is_not_cancelled(shell: Shell) -> None:
    shell.do("odd.noop")
    assert "odd.noop has ended already: succeeded" in shell.do("jobs cancel")

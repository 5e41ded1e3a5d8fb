"""Help and lists of jobs: complete, aligned, and nothing in a title acts on anything."""

from __future__ import annotations

import re

import pytest
from made_kit import VERBS

from trunnion import ErrorInfo, Json, Run
from trunnion.model.status import Status
from trunnion.rendering import DARK, PLAIN
from trunnion_tty.about_runs import all_runs, announced, coloured, facts, fitted, own_jobs
from trunnion_tty.catalog import Catalog
from trunnion_tty.jobs import Job
from trunnion_tty.listing import explained, overview
from trunnion_tty.reading import Place

EVIL = "\x1b[31mred\x1b[2J\nnext\tline\x07"
CALM = "red\\x1b[2J next line\\x07"


def described(name: str, **more: Json) -> dict[str, Json]:
    return {"id": name, "args": {"type": "object", "properties": {}}, "argv": {"names": []}, "examples": [], **more}


META: dict[str, Json] = {
    "commands": [
        described("status", title="How it is"),
        described("plant.start", title=EVIL),
        described("plant.help", title="Named like a word of the shell"),
        described("plant.stop", title="Stop", available=False),
        described("log.show", title="Everywhere", scope="global"),
    ],
    "queries": [described("plant.speed", title="How fast")],
    "consoles": [
        {"path": "", "title": "Main"},
        {"path": "plant", "title": EVIL, "description": "Of the plant.", "order": 2},
        {"path": "log", "title": "Logs", "order": 1},
    ],
}


def at(console: str) -> Place:
    return Place(Catalog(META), VERBS, {"up": "status", "quit": "never"}, console)


def rows(text: str, heading: str) -> list[tuple[str, str]]:
    """Calls and what they are about, of one section."""
    section = text.split(f"{heading}\n")[1].split("\n\n", maxsplit=1)[0]
    found = [re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in section.splitlines()]
    return [(call[0], call[1] if len(call) > 1 else "") for call in found]


def test_what_there_is_in_the_main_console() -> None:
    text = overview(at(""))
    assert text.startswith("Main\n\nCommands\n")
    assert rows(text, "Commands") == [("show", "Everywhere"), ("status", "How it is")]
    assert rows(text, "Consoles") == [("use log", "Logs"), ("use plant", CALM)]
    assert rows(text, "Aliases") == [("up", "= status")]
    assert "Queries" not in text
    shell = dict(rows(text, "The shell"))
    assert shell["COMMAND &"] == "Run it in the background"
    assert any(call.startswith("quit") for call in shell)
    assert "back" not in shell


def test_what_there_is_in_a_console_above() -> None:
    text = overview(at("plant"))
    assert text.startswith(f"plant: {CALM}\n\nOf the plant.\n\n")
    commands = [("plant.help", "Named like a word of the shell"), ("show", "Everywhere"), ("start", CALM),
                ("stop", "Stop (not available)")]  # fmt: skip
    assert rows(text, "Commands") == commands
    assert rows(text, "Queries") == [("speed", "How fast")]
    assert "back" in dict(rows(text, "The shell"))


@pytest.mark.parametrize("width", [40, 60, 200])
def test_help_fits_the_terminal(width: int) -> None:
    """Defence: what a row is about is folded beside its call; the terminal would break it in the middle of a word."""
    for text in (overview(at("plant"), width), explained("jobs", at(""), width) or ""):
        assert max(map(len, text.splitlines())) <= min(width, 100), text
    assert "  !LINE       Have the host's system\n              shell run a line\n" in overview(at(""), 40)
    assert "``" not in (explained("jobs", at("")) or ""), "marks of documentation mean nothing at a prompt"


def test_a_console_called_as_it_is_titled_is_named_once() -> None:
    assert overview(Place(Catalog({"consoles": [{"path": "log", "title": "Log"}]}), VERBS, {}, "log")).startswith(
        "Log\n\n"
    )


def test_what_something_is() -> None:
    assert explained("up", at("")) == "up stands for: status\n"
    assert (explained("quit", at("")) or "").startswith("End the shell")
    assert (explained("stop", at("plant")) or "").endswith("It is not available just now.\n")
    assert (explained("plant", at("")) or "").startswith("plant: ")
    assert "Named like a word" in (explained("plant.help", at("")) or "")
    assert explained("nothing", at("")) is None
    assert explained("back", at("")) is None


def run(status: Status = "running", **more: object) -> Run:
    return Run(
        id="019a0000-0000-7000-8000-00000000c0de", num=1, command_id="plant.start", command_revision="c1",
        status=status, created=1_700_000_000_000_000, principal="ann", source="tty", **more,
    )  # fmt: skip


def ended(status: Status, **more: object) -> Run:
    return run(status, started=1_700_000_000_000_000, finished=1_700_000_001_250_000, **more)


@pytest.mark.parametrize(
    ("run", "lost", "line"),
    [
        (ended("succeeded"), "", "[3] c0de plant.start succeeded after 1.25 s"),
        (ended("timed_out"), "", "[3] c0de plant.start timed out after 1.25 s"),
        (run("cancelled", error=ErrorInfo("cancelled", "as wished")), "", "[3] c0de plant.start cancelled"),
        (ended("failed", error=ErrorInfo("failed", EVIL)), "", f"[3] c0de plant.start failed after 1.25 s: {CALM}"),
        (run(), EVIL, f"[3] c0de plant.start is lost: {CALM}"),
    ],
)
def test_a_job_that_is_over_is_one_line(run: Run, lost: str, line: str) -> None:
    job = Job(3, run, "c0de")
    job.lost = lost
    assert announced(job) == line


def test_lists_of_jobs() -> None:
    job, lost = Job(1, ended("succeeded"), "c0de"), Job(2, run(), "beef")
    lost.lost = "gone"
    header, *rows = own_jobs([job, lost])
    assert [dict(zip(header, row, strict=True))["status"] for row in rows] == ["succeeded", "lost"]
    assert rows[0][-1] == "1.25 s"
    assert rows[1][-1] == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", rows[0][-2])


def test_lists_of_runs_of_a_host_of_any_version() -> None:
    items: list[dict[str, Json]] = [
        {"id": run().id, "command_id": "plant.start", "created": 1},
        {},
        {"created": "soon"},
    ]
    header, *rows = all_runs(items, {run().id: 4})
    assert rows[0][:3] == ["4", "c0de", "plant.start"]
    assert [len(row) for row in rows] == [len(header)] * 3


def test_a_list_leaves_out_what_a_narrow_terminal_has_no_room_for() -> None:
    rows = all_runs([{"id": run().id, "command_id": "plant.start", "principal": "ada", "source": "cli"}], {})
    assert fitted(rows, 200) == rows
    assert fitted(rows, 40)[0] == ["job", "tag", "command", "status", "created"]
    assert fitted(rows, 10)[0] == ["job", "tag", "command", "status"], "these are what a list is for"


def test_statuses_catch_the_eye_and_nothing_else_does() -> None:
    rows = [["status", "command"], ["failed", "failed"], ["held", "x"]]
    assert coloured(rows, DARK) == [["status", "command"], [DARK.paint("error", "failed"), "failed"], ["held", "x"]]
    assert coloured(rows, PLAIN) == rows


def test_what_matters_of_a_run_is_told_in_words_and_times() -> None:
    told = dict(facts(ended("failed", error=ErrorInfo("failed", "no paper"), args={"n": 3}), PLAIN))
    assert told["status"] == "failed after 1.25 s"
    assert told["error"] == "no paper (failed)"
    assert told["arguments"] == '{"n":3}'
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", told["finished"])
    assert not {"result", "attempt", "labels", "cancel asked for"} & told.keys(), "nothing is told of what is not"

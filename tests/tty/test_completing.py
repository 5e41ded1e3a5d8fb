"""What is offered: each proposal, put in place, is the beginning of a line that means it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_kit import CHOICES, KINDS, NASTY, TEXT, VERBS, Made, arguments, commands, many, typed, words
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from trunnion import Command, Query
from trunnion.model.status import Status
from trunnion.testing import Hosting
from trunnion_tty.catalog import Catalog
from trunnion_tty.checking import check
from trunnion_tty.completer import LineCompleter
from trunnion_tty.completing import Proposal, Question, answered, offer, values
from trunnion_tty.lines import statements
from trunnion_tty.reading import Place, read

LOOSE = settings(suppress_health_check=list(HealthCheck))


def put(line: str, proposal: Proposal) -> str:
    return line[: proposal.start] + proposal.text


def offered(line: str, place: Place, folder: Path | None = None) -> list[str]:
    return [proposal.text for proposal in offer(line, place, folder).proposals]


# -- made-up commands -----------------------------------------------------------------------------


@settings(LOOSE, max_examples=many(40))
@given(commands(), st.data())
def test_of_a_line_that_is_good_so_far_every_proposal_is_good(made: Made, data: st.DataObject) -> None:
    """At every place of a good line, and behind it; also where only a blank follows what was put in place."""
    (line,) = statements(data.draw(typed(made, data.draw(words(made, data.draw(arguments(made))))))) or ["made.up"]
    line += data.draw(st.sampled_from(["", " ", " --", " --n", " n", " '", ' "', " --host=", " host="]))
    for end in range(len(line) + 1):
        beginning = line[:end]
        if check(beginning, made.place, whole=False) is not None:
            continue
        for proposal in offer(beginning, made.place, None).proposals:
            assert proposal.start <= len(beginning)
            whole = put(beginning, proposal)
            assert check(whole, made.place, whole=False) is None, (beginning, proposal)
            reading = read(whole, made.place)
            assert not reading.statement.unfinished
            assert not reading.statement.background


CHOOSE = Made("made.up", {"n": KINDS["choice"], "host": KINDS["choice"]}, ("n",), (), frozenset())
BEGINNINGS = sorted({choice[:end] for choice in CHOICES for end in range(len(choice) + 1)})


def written(start: str) -> Iterator[str]:
    """Ways to type the beginning of a value."""
    yield from ("", "'", '"') if not start else ()
    if "'" not in start:
        yield f"'{start}"
    yield '"' + start
    if start:
        yield shlex.quote(start)


@pytest.mark.parametrize("before", ["", "n=", "--n=", "--n ", "-- ", "host='a b' ", "--host red ", "--host n=1 "])
@pytest.mark.parametrize("start", BEGINNINGS)
def test_a_choice_put_in_place_is_that_choice(before: str, start: str) -> None:
    """However it is asked for, and however its beginning is quoted."""
    for half in written(start):
        line = f"made.up {before}{half}"
        bare = before in ("", "host='a b' ", "--host red ", "--host n=1 ")
        found = offer(line, CHOOSE.place, None).proposals
        proposals = [p for p in found if not bare or p.text not in ("n=", "host=", "--n", "--host", "--")]
        meant = [CHOOSE.compiled.parse(read(put(line, p), CHOOSE.place).argv)["n"] for p in proposals]
        if bare and half.startswith("n="):  # it passes for the argument
            continue
        expected = [c for c in CHOICES if c.startswith(start) and not (bare and c.startswith("-"))]
        assert sorted(meant) == sorted(expected), line


# -- names ----------------------------------------------------------------------------------------


def described(name: str, **more: object) -> dict[str, object]:
    return {"id": name, "args": {"type": "object", "properties": {}}, "argv": {"names": []}, **more}


META = {
    "commands": [
        described("status", title="Of the host"),
        described("plant.status", title="Of the plant"),
        described("plant.pump.start", title="Start it"),
        described("plant.pump.help", title="Named like a word of the shell"),
        described("plant.pump.up", title="Named like an alias"),
        described("plant.pump.down", title="Not there", available=False),
        described("log.show", title="Everywhere", scope="global"),
    ],
    "queries": [described("plant.pump.speed", title="How fast")],
    "consoles": [
        {"path": "", "title": "Main"},
        {"path": "plant", "title": "The plant", "order": 2},
        {"path": "plant.pump", "title": "A pump"},
        {"path": "log", "order": 1},
    ],
}
ALIASES = {"up": "status", "quit": "never taken", "st": "plant.pump.start"}


def at(console: str) -> Place:
    return Place(Catalog(META), VERBS, ALIASES, console)


def test_names_of_the_main_console() -> None:
    found = offer("", at(""), None).proposals
    texts = [proposal.text for proposal in found]
    assert texts[:2] == ["show", "status"]
    assert texts[2:6] == ["st", "up", "log.", "plant."]
    assert "back" not in texts
    assert {"use", "help", "jobs", "quit"} <= set(texts)
    about = {proposal.text: proposal.about for proposal in found}
    assert about["quit"].startswith("End the shell")
    assert about["up"] == "= status"
    assert about["log."] == "console"
    assert about["plant."] == "The plant"


def test_names_of_a_console_above() -> None:
    texts = offered("", at("plant.pump"))
    assert {"start", "speed", "down", "show", "back", "plant.pump.help", "plant.pump.up"} <= set(texts)
    assert texts.count("help") == texts.count("up") == 1
    about = {proposal.text: proposal.about for proposal in offer("d", at("plant.pump"), None).proposals}
    assert about == {"down": "Not there (not available)"}


@pytest.mark.parametrize("console", ["", "plant", "plant.pump", "log"])
@pytest.mark.parametrize("typed", ["", "s", "p", "plant.", "plant.p", ".", ".p", "pump.", "status", "'pl", "log.s"])
def test_every_name_that_is_offered_is_one(console: str, typed: str) -> None:
    place = at(console)
    for proposal in offer(typed, place, None).proposals:
        line = put(typed, proposal)
        if proposal.text.endswith("."):
            assert place.catalog.find_console(line[:-1], console)
            continue
        reading = read(line + " ", place)
        assert reading.kind in ("entry", "verb"), line
        title = reading.entry.title if reading.entry is not None else reading.verb.title  # type: ignore[union-attr]
        assert proposal.about.startswith((title, "= ")), line


def test_nothing_is_offered_where_nothing_is_known() -> None:
    for line in ("!ls ", "# x ", "nobody x", "status &", "status & ", "status x", "status ", "!", "plant.status -- "):
        assert offer(line, at(""), None) == ([], []), line


# -- arguments ------------------------------------------------------------------------------------


def move(
    car: str,
    tone: Literal["kind", "very cool"] = "kind",
    *,
    loud: bool = False,
    dry_run: bool = False,
    log: Path = Path("log"),
    tags: list[Literal["a", "b"]] = [],  # noqa: B006
) -> None:
    """Move.

    Args:
        tone: how.
        loud: shout.
    """


def cars() -> list[str]:
    return []


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    commands = [Command.of(move, console="demo", complete={"car": "demo.cars"})]
    with Hosting(commands=commands, queries=[Query.of(cars, console="demo")]) as host:
        aliases = {
            "mv": "demo.move",
            "kindly": "demo.move bug kind",
            "open": "demo.move 'a",
            "behind": "demo.move bug &",
        }
        yield Place(Catalog(host.meta()), VERBS, aliases)


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("demo.move bug ", ["kind", "'very cool'"]),
        ("demo.move bug v", ["'very cool'"]),
        ("demo.move bug 'very c", ["'very cool'"]),
        ("demo.move bug kind ", []),
        ("demo.move bug kind more ", []),
        ("demo.move bug kind l", ["log=", "loud="]),
        ("demo.move bug kind t", ["tags="]),  # not tone=: a third word would be too many
        ("demo.move bug t", ["tags=", "tone="]),
        ("demo.move bug kind --", ["--dry-run", "--log", "--loud", "--no-dry-run", "--no-loud", "--tags"]),
        ("demo.move bug kind --l", ["--log", "--loud"]),
        ("demo.move --loud --l", ["--log"]),
        ("demo.move loud=", ["loud=true", "loud=false"]),
        ("demo.move dry_run=t", ["dry_run=true"]),
        ("demo.move dry-run=t", ["dry-run=true"]),
        ("demo.move --dry-run=", ["--dry-run=true", "--dry-run=false"]),
        ("demo.move tone=v", ["tone='very cool'"]),
        ("demo.move tone='v", ["tone='very cool'"]),
        ("demo.move 'tone=v", []),  # a car of this name
        ("demo.move --tone ", ["kind", "'very cool'"]),
        ("demo.move --tone=", ["--tone=kind", "--tone='very cool'"]),
        ("demo.move tags=a tags=", ["tags=a", "tags=b"]),
        ("demo.move --nothing=", []),
        ("mv bug k", ["kind"]),
        ("kindly ", []),
        ("kindly l", ["log=", "loud="]),
        ("open", ["open"]),
        ("open b", []),
        ("behind ", []),
        ("jobs ", ["list", "show", "follow", "cancel", "result", "rerun", "export"]),
        ("jobs c", ["cancel"]),
        ("theme d", ["dark"]),
        ("jobs --status=", [f"--status={status}" for status in get_args(Status)]),
        ("jobs status=", []),
    ],
)  # fmt: skip
def test_arguments(place: Place, line: str, texts: list[str]) -> None:
    assert sorted(offered(line, place)) == sorted(texts)


def test_what_an_argument_is_about(place: Place) -> None:
    about = {p.text: p.about for p in offer("demo.move bug kind --l", place, None).proposals}
    assert about == {"--log": "", "--loud": "shout."}
    assert offer("demo.move tone=", place, None).proposals[0].about == "how."


@pytest.mark.parametrize(
    ("line", "typed", "prefix", "start"),
    [
        ("demo.move ", "", "", 10),
        ("demo.move b", "b", "", 10),
        ("demo.move  'b c", "b c", "", 11),
        ("demo.move car=b", "b", "car=", 10),
        ("demo.move --car=b", "b", "--car=", 10),
        ("demo.move --loud --car b", "b", "", 23),
        ("demo.move -- --x", "--x", "", 13),
        ("mv b", "b", "", 3),
    ],
)
def test_values_that_a_query_knows_are_a_question(place: Place, line: str, typed: str, prefix: str, start: int) -> None:
    (question,) = offer(line, place, None).questions
    assert (question.source, question.name, question.typed) == ("demo.cars", "demo.move", typed)
    assert (question.spot.prefix, question.spot.start) == (prefix, start)


def test_what_the_shell_itself_knows_is_a_question_too(place: Place) -> None:
    asked = {
        line: [q.source for q in offer(line, place, None).questions] for line in ("use ", "fg ", "help ", "jobs show ")
    }
    assert asked == {"use ": [":consoles"], "fg ": [":active"], "help ": [":names"], "jobs show ": [":jobs"]}


@given(st.sampled_from(["", "car=", "--car=", "--car ", "-- "]), st.lists(TEXT | st.sampled_from(NASTY), max_size=5))
def test_an_answer_put_in_place_is_that_value(place: Place, before: str, found: list[str]) -> None:
    line = f"demo.move {before}"
    (question,) = offer(line, place, None).questions
    proposals = values(question, [(value, "") for value in found])
    meant = [read(put(line, proposal), place) for proposal in proposals]
    if before:
        assert len(meant) == len(found)
    assert (
        [reading.parameters.parse(reading.argv)["car"] for reading in meant]
        == [  # type: ignore[union-attr]
            value for value in found if before or not value.startswith("-") or value[1:2] in ("", *"0123456789")
        ]
    )


def test_answers_of_queries() -> None:
    assert answered(["a", 1, {"value": "b", "title": "B"}, {"id": "c", "description": "C"}, {"name": "d"}, {}]) == [
        ("a", ""), ("1", ""), ("b", "B"), ("c", "C"), ("d", ""), ("", ""),
    ]  # fmt: skip
    assert answered({"items": [{"id": "x"}], "next": None}) == [("x", "")]
    assert answered(None) == answered("text") == answered({"items": 3}) == answered(3) == []


# -- files ----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a b.txt", "it's", "car=x", "-x", "&", "plain", ".hidden", "new\nline", "\x1b[31m"):
        (tmp_path / name).touch()
    (tmp_path / "sub dir").mkdir()
    (tmp_path / "sub dir" / "in&side").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    return tmp_path


def files(line: str, place: Place, folder: Path | None) -> dict[str, str]:
    """What is offered -> the path that is meant then."""
    found = {}
    for proposal in offer(line, place, folder).proposals:
        reading = read(put(line, proposal), place)
        assert not reading.statement.background
        found[proposal.text] = str(reading.parameters.parse(reading.argv).get("log", "")) or reading.argv[-1]  # type: ignore[union-attr]
    return found


SHOWN = {"a b.txt", "it's", "car=x", "-x", "&", "plain", "sub dir/", "loop", "gone"}


@pytest.mark.parametrize("before", ["demo.move x log=", "demo.move x --log=", "demo.move x --log "])
def test_names_of_files(place: Place, folder: Path, before: str) -> None:
    assert set(files(before, place, folder).values()) == SHOWN
    assert set(files(f"{before}.", place, folder).values()) == {".hidden"}
    assert set(files(f"{before}'sub", place, folder).values()) == {"sub dir/"}
    assert set(files(f"{before}'sub dir'/", place, folder).values()) == {"sub dir/in&side"}
    assert set(files(f"{before}'{folder}/pl", place, folder).values()) == {f"{folder}/plain"}
    assert set(files(f"{before}nowhere/", place, folder).values()) == set()
    assert set(files(f'{before}"x\\', place, folder).values()) == set()
    assert files(before, place, None) == {}


def test_a_file_whose_name_looks_like_something_else(place: Place, folder: Path) -> None:
    found = files("source ", place, folder)
    assert set(found.values()) == SHOWN - {"-x"} | {"./-x"}
    made = Made("made.up", {"log": KINDS["path"], "car": KINDS["text"]}, ("log",), (), frozenset())
    assert set(files("made.up ", made.place, folder).values()) == SHOWN - {"-x"} | {"./-x"}
    assert set(files("made.up -- ", made.place, folder).values()) == SHOWN


def test_the_top_of_all_folders(place: Place) -> None:
    assert "/etc/" in files("source /et", place, None).values()


# -- in the terminal ------------------------------------------------------------------------------


class Nobody:
    async def answers(self, question: Question) -> list[tuple[str, str]]:
        return []

    async def here(self, line: str) -> list[tuple[str, str]]:
        return []


@pytest.mark.parametrize(
    ("text", "cursor", "result"),
    [
        ("demo.move bug k", None, "demo.move bug kind"),
        ("use x\ndemo.move bug 've", None, "use x\ndemo.move bug 'very cool'"),
        ("demo.move bug \\\n  ki", None, "demo.move bug \\\n  kind"),
        ("mv bug k", None, "mv bug kind"),
        ("demo.move bug k --loud", 15, "demo.move bug kind --loud"),
        ("demo.move 'b\nug' ki", None, "demo.move 'b\nug' kind"),
        ("demo.move bug k\\\nin", None, None),
        ("demo.move bug ki\nuse x", 16, "demo.move bug kind\nuse x"),
    ],
)
def test_where_a_proposal_is_put(place: Place, text: str, cursor: int | None, result: str | None) -> None:
    document = Document(text, cursor)
    completer = LineCompleter(lambda: place, Nobody())
    found = list(completer.get_completions(document, CompleteEvent()))
    before, after = document.text_before_cursor, document.text_after_cursor
    results = [before[: len(before) + c.start_position] + c.text + after for c in found]
    assert results == ([] if result is None else [result])


def test_what_is_shown_of_a_proposal_acts_on_nothing() -> None:
    meta = {"commands": [described("status", title="x\x1b[2J\ny\x07")]}
    completer = LineCompleter(lambda: Place(Catalog(meta), {}), Nobody())
    (found,) = completer.get_completions(Document("st"), CompleteEvent())
    assert not set(found.display_meta_text) & set("\x1b\x07\n")

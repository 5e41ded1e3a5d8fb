"""Lines done by a real host: aliases, secrets, consoles, files of lines and recordings; and no line ends the shell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import pytest
from wire_kit import Front

from trunnion import Command, Console, Host, HostOptions, Query, Secret, Unavailable, hookimpl
from trunnion.launcher.options import Options
from trunnion.protocol.client import Client
from trunnion_tty.hosting import OwnHost
from trunnion_tty.lines import statements
from trunnion_tty.link import Link
from trunnion_tty.shell import Shell

pytestmark = pytest.mark.anyio


class Bench:
    """What the commands of a host were given."""

    def __init__(self) -> None:
        self.given: list[object] = []

    def plugin(self) -> object:
        def say(*words: str, n: int = 0) -> int:
            """Take words."""
            self.given.append((*words, n) if n else words)
            return n

        def unlock(pin: Annotated[int, Secret()], door: str = "front") -> None:
            """Take a number nobody may see."""
            self.given.append((pin, door))

        def store(*, keys: Annotated[list[str], Secret()] = []) -> None:  # noqa: B006
            """Take several things nobody may see, or none."""
            self.given.append(keys)

        def fail() -> None:
            raise ValueError("a defect")

        def raw(line: str, console: str) -> None:
            """Take a line as it is."""
            self.given.append((console, line))

        def enter() -> None:
            self.given.append("in")

        def leave() -> None:
            self.given.append("out")

        async def look(code: Annotated[int, Secret()]) -> int:
            """Answer whoever knows the code."""
            return code + 1

        def wrong(line: str) -> str | None:
            return "there is no comma in it" if "," in line else None

        made = SimpleNamespace()

        @hookimpl
        def trunnion_commands(settings: object) -> list[Command]:
            ways = (say, unlock, store, fail, raw, enter, leave)
            return [Command.of(function, console="t", lock=None) for function in ways]

        @hookimpl
        def trunnion_queries(settings: object) -> list[Query]:
            return [Query.of(look, console="t"), Query.of(wrong, console="t")]

        @hookimpl
        def trunnion_consoles(settings: object) -> list[Console]:
            return [
                Console(path="t.deep", on_enter="t.enter", on_leave="t.leave", banner="deep\n"),
                Console(path="t.shut", on_enter="t.fail", on_leave="t.leave"),
                Console(path="t", accept_undefined=True, on_miss="t.raw", validator="t.wrong"),
            ]

        made.trunnion_commands, made.trunnion_queries, made.trunnion_consoles = (
            trunnion_commands,
            trunnion_queries,
            trunnion_consoles,
        )
        made.more = [Command.of(say, console="t.deep", name="below"), Command.of(say, console="t.shut", name="below")]
        return made


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
async def shell(tmp_path: Path, bench: Bench) -> AsyncIterator[Shell]:
    plugin = bench.plugin()
    options = HostOptions(data_dir=tmp_path / "data", overrides=("executor.shutdown_grace=0.2",))
    async with Host(
        options,
        plugins={"t": plugin},
        commands=plugin.more,
        discovery=False,
        environ={},  # type: ignore[attr-defined]
    ) as host:
        link = Link(Client(host.data.socket, patience=float("inf"), door="tty"))
        await link.open()
        made = Shell(link, Front(), OwnHost(Options(), link, "never", None), patience=5)
        yield made
        await made.close()
        await link.close()


def front(shell: Shell) -> Front:
    assert isinstance(shell.face, Front)
    return shell.face


async def done(shell: Shell, bench: Bench, text: str) -> list[object]:
    """What the commands of some lines were given, all of which went well."""
    bench.given.clear()
    assert await shell.perform(text) == 0, front(shell).notes
    return bench.given


# -- aliases --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "given"),
    [
        ("alias s t.say a\ns b", [("a", "b")]),
        ("alias s 't.say \"a b\"'\ns c", [("a b", "c")]),
        ("alias s t.say 'a b' ''\ns c", [("a b", "", "c")]),
        ("alias s t.say \"it's\" '\\'\ns", [("it's", "\\")]),
        ("alias s t.say n=3 --\ns n=4", [("n=4", 3)]),
        ("alias s t.say '&'\ns x", [("&", "x")]),
        ("alias s t.say --n\ns 3", [(3,)]),
        ("alias t.say t.say once\nt.say x", [("once", "x")]),
    ],
)
async def test_what_an_alias_stands_for_is_what_was_typed(
    shell: Shell, bench: Bench, lines: str, given: list[object]
) -> None:
    assert await done(shell, bench, lines) == given


async def test_a_word_of_the_shell_is_no_alias(shell: Shell) -> None:
    assert await shell.perform("alias quit t.say") != 0
    assert "quit is a word of the shell's own" in front(shell).notes
    assert await shell.perform("alias nobody") != 0
    assert "there is no alias 'nobody'" in front(shell).notes


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("alias s=t.say", "there is no alias 's=t.say'; alias NAME LINE sets one"),
        ("alias s=t.say once", "'s=t.say' cannot be an alias: say alias NAME LINE"),
        ("alias 'two words' t.say", "'two words' cannot be an alias"),
        ("alias '&' t.say", "'&' cannot be an alias"),
        ("alias '!' t.say", "'!' cannot be an alias"),
        ("alias '#s' t.say", "'#s' cannot be an alias"),
        ("alias '' t.say", "'' cannot be an alias"),
        ("alias s ''", "say what s is to stand for"),
        ("alias s t.say &", "not in the background: leave out the &, or quote it if it belongs to the alias"),
    ],
)
async def test_an_alias_that_nobody_could_use_is_refused(shell: Shell, line: str, told: str) -> None:
    assert await shell.perform(line) != 0
    assert told in front(shell).notes
    assert not shell.aliases


@pytest.mark.parametrize("line", ["source nothing.trn &", "wait &", "help &"])
async def test_a_word_of_the_shell_is_not_done_in_the_background(shell: Shell, line: str) -> None:
    assert await shell.perform(line) == 2
    word = line.partition(" ")[0]
    assert f"{word} is done by the shell itself, not in the background: leave out the &" in front(shell).notes


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("jobs cancel --all", "--all is for the list of runs: jobs cancel is about one of them"),
        ("jobs cancel --status running", "--status is for the list of runs"),
        ("jobs rerun --command t.say", "--command is for the list of runs"),
        ("jobs 'list' 1 --limit 3", "--limit is for the list of runs: jobs show is about one of them"),
        ("jobs show 1 --to x", "--to is for jobs export"),
        ("jobs --to x", "--to is for jobs export"),
    ],
)
async def test_what_a_word_about_jobs_would_not_heed_is_refused(
    shell: Shell, bench: Bench, line: str, told: str
) -> None:
    """``jobs cancel --all`` cancelled the newest one."""
    assert await shell.perform("t.say") == 0
    assert await shell.perform(line) == 2
    assert told in front(shell).notes
    assert len(bench.given) == 1


@pytest.mark.parametrize("line", ["jobs --limit 0", "jobs --limit -1", "history 0", "history -1"])
async def test_of_a_list_there_is_at_least_one(shell: Shell, line: str) -> None:
    assert await shell.perform("t.say\nt.say") == 0
    assert await shell.perform(line) == 2
    assert "expected a whole number" in front(shell).notes
    assert "1 or more" in front(shell).notes
    assert "started nothing" not in front(shell).notes


# -- secrets --------------------------------------------------------------------------------------


async def test_a_secret_is_asked_for_and_read_as_what_it_is(shell: Shell, bench: Bench) -> None:
    front(shell).secrets["pin"] = "1234"
    assert await done(shell, bench, "t.unlock door=back") == [(1234, "back")]
    assert await done(shell, bench, "t.store") == [[]], "one that is not needed is not asked for"


async def test_a_secret_is_read_from_its_place(
    shell: Shell, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T_PIN", "77")
    (tmp_path / "pin").write_text("88\n")
    monkeypatch.setenv("T_KEYS", '["a", "b"]')
    assert await done(shell, bench, f"t.unlock pin=env:T_PIN\nt.unlock file:{tmp_path}/pin") == [
        (77, "front"),
        (88, "front"),
    ]
    assert await shell.perform("t.unlock pin=env:T_NOTHING") != 0
    assert "T_NOTHING" in front(shell).notes


async def test_of_queries_too(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T_CODE", "41")
    front(shell).secrets["code"] = "1"
    assert await shell.perform("t.look code=env:T_CODE\nt.look") == 0
    assert front(shell).values == [42, 2]


@pytest.mark.parametrize("line", ["t.unlock 1234", "t.unlock pin=1234", "t.look 5", "t.store keys=a"])
async def test_a_secret_in_the_line_itself_is_refused_before_it_is_sent(shell: Shell, bench: Bench, line: str) -> None:
    assert await shell.perform(line) != 0
    assert "is secret: leave it out" in front(shell).notes
    assert bench.given == []


async def test_a_secret_whose_file_is_not_there_is_told_in_words(shell: Shell, tmp_path: Path) -> None:
    assert await shell.perform(f"t.unlock pin=file:{tmp_path}/none") == 2
    assert f"pin: {tmp_path}/none cannot be read: No such file or directory\n" in front(shell).notes


async def test_a_secret_that_is_no_number_is_refused_without_being_shown(shell: Shell) -> None:
    front(shell).secrets["pin"] = "canary"
    assert await shell.perform("t.unlock") != 0
    assert "pin: expected a whole number" in front(shell).notes
    assert "canary" not in front(shell).notes


# -- consoles -------------------------------------------------------------------------------------


async def test_consoles_are_entered_and_left_in_order(shell: Shell, bench: Bench) -> None:
    assert await done(shell, bench, "use t.deep\nbelow x\nback") == ["in", ("x",), "out"]
    assert shell.console == ""
    assert "deep\n" in front(shell).texts
    assert await done(shell, bench, "use t\nuse deep\nuse .t.deep\nquit") == ["in", "in", "out", "out"]
    assert shell.leaving
    assert shell.consoles == [""]


async def test_quotes_mean_nothing_to_a_console_that_takes_any_line(shell: Shell, bench: Bench, tmp_path: Path) -> None:
    """Defence: ``is_taken_as_it_is``; all that followed in a file was taken for what stands within the quote."""
    lines = ["use t", "don't", "ends in \\", "say 'a", "b'", "back", "t.say 'c", "d'"]
    expected = [("t", "don't"), ("t", "ends in \\"), ("a\nb",), ("c\nd",)]
    assert await done(shell, bench, "\n".join(lines)) == expected
    path = tmp_path / "recorded.trn"
    assert await done(shell, bench, f"record {path}\n" + "\n".join(lines) + "\nrecord off") == expected
    assert path.read_text() == "\n".join(lines) + "\n"
    assert await done(shell, bench, f"source {path}") == expected


async def test_what_a_console_does_as_it_is_left_keeps_nobody(
    shell: Shell, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defence: ``quit`` leaves first: of two consoles whose command was refused each took a quit of its own."""
    assert await done(shell, bench, "use t.deep\nuse .t.deep") == ["in", "in"]

    async def refuse(_wish: object, **_how: object) -> int:
        raise Unavailable("the line is dead")

    monkeypatch.setattr(shell, "run", refuse)
    assert await shell.perform("quit") == 9
    assert front(shell).notes.count("the line is dead") == 2
    assert (shell.leaving, shell.consoles) == (True, [""])


async def test_a_console_that_cannot_be_entered_is_not(shell: Shell, bench: Bench) -> None:
    assert await shell.perform("use t.shut") != 0
    assert "t.shut was not entered" in front(shell).notes
    assert (shell.console, bench.given) == ("", [])
    assert await shell.perform("use t.sut") != 0
    assert "there is no console 't.sut'; did you mean t.shut" in front(shell).notes


async def test_a_line_nobody_knows_goes_where_the_console_says(shell: Shell, bench: Bench) -> None:
    lines = "use t\nanything 'a  b' \"c\\\nsay 1\nit's\nalias ll show all\nll  x\nreboot &"
    given = await done(shell, bench, "use t")
    for line in ("anything 'a  b' \"c\\", "say 1", "it's", "ll  x"):
        assert line in lines
        await shell.line("alias ll show all")
        assert await shell.line(line) == 0
    assert given == [("t", "anything 'a  b' \"c\\"), ("1",), ("t", "it's"), ("t", "show all  x")]
    given.clear()
    assert await shell.line("reboot &") == 0
    for job in shell.jobs:
        await job.over()
    assert given == [("t", "reboot")]
    assert await shell.line("a, b") != 0
    assert "there is no comma in it" in front(shell).notes


# -- files of lines -------------------------------------------------------------------------------


async def test_what_is_recorded_can_be_done_again(shell: Shell, bench: Bench, tmp_path: Path) -> None:
    lines = ["t.say 'a\nb\r' \\\n c", "t.fail", "jobs", "use t.deep", "below x", "no such line", "back", "t.say '# x'"]
    for line in ["use .t", f"record {tmp_path}/session.trn", *lines, "record", "record off", "t.say after"]:
        await shell.perform(line)
    before = [given for given in bench.given if given != ("after",)]
    text = (tmp_path / "session.trn").read_bytes().decode()
    assert statements(text)[0] == "use .t"
    assert "jobs" not in text
    assert "# failed with status" in text
    assert await done(shell, bench, f"use .\nsource {tmp_path}/session.trn") == before


async def test_the_first_line_that_fails_ends_a_file(shell: Shell, bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("t.say a\nt.fail\n# c\nt.say b\nnothing\nt.say c\n")
    assert await shell.perform(f"source {tmp_path}/file\nt.say d") != 0
    assert bench.given == [("a",)]
    bench.given.clear()
    assert await shell.perform(f"source {tmp_path}/file --keep-going") != 0
    assert bench.given == [("a",), ("b",), ("c",)]
    bench.given.clear()
    assert await shell.perform(f"source {tmp_path}/file\nt.say d", keep_going=True) != 0
    assert bench.given == [("a",), ("d",)]


async def test_files_that_read_one_another_have_an_end(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "itself").write_text(f"source {tmp_path}/itself\n")
    assert await shell.perform(f"source {tmp_path}/itself") != 0
    assert "files read one another" in front(shell).notes
    assert shell.acting.sourcing == 0


async def test_a_recording_has_what_was_typed_and_not_what_a_file_said(
    shell: Shell, bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("t.say a\n")
    await shell.perform(f"record {tmp_path}/session.trn\nsource {tmp_path}/file\nrecord off")
    assert (tmp_path / "session.trn").read_text() == f"source {tmp_path}/file\n"


# -- whatever is typed ----------------------------------------------------------------------------


ODD = [
    "'", "t.say \\", "t.say \udcff", "!", "!ls \udcff", "t.say " + "x" * 200_000, "\x00", "source \x00", "use ''", "fg",
    "jobs show nothing", "wait 9", "t.say --n x", "record /", "history 5", "theme dark", "clear", "help nothing", "?",
    "jobs --status nothing", "jobs cancel 0", "alias", "t.say '\ud800'", "jobs export 1 --to /dev/full", "help",
    "t.fail",
    "t.say\njobs export 1 --to \x00", "record \x00",
]  # fmt: skip


async def test_no_line_ends_the_shell(shell: Shell, bench: Bench, tmp_path: Path) -> None:
    await shell.perform(f"record {tmp_path}/session.trn")
    for line in ODD:
        await shell.perform(line)
        assert "Traceback" not in front(shell).notes
        assert "a defect in" not in front(shell).notes, line
    assert await shell.line("t.say on") == 0
    assert bench.given[-1] == ("on",)
    assert statements((tmp_path / "session.trn").read_text())[-1] == "t.say on"
    assert await shell.perform("record off\nrecord \x00") != 0
    assert "a defect in" not in front(shell).notes

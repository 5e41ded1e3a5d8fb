"""A shell on a host elsewhere, by gRPC: a person sees and does there what they would at home."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from tty_kit.place import LAUNCHER, Place, Shell
from tty_kit.terminal import Terminal

DOOR = """
[rpc]
enabled = true
audit = "off-i-know"
[access.expose]
"odd.*" = ["rpc"]
"""
UNLIKE = re.compile(
    r"\b[0-9a-f]{4}\b(?=│| |$)|\b[0-9a-f]+-[0-9a-f-]+\b|[0-9.]+ m?s\b|\b(?:tty|rpc)\b"
    r"|(?:\d{4}-\d\d-\d\d )?\b\d\d:\d\d:\d\d"
    r"|, !\S+ is for the system's shell",
    re.MULTILINE,
)
"""What no two shells have in common: ids and tags, spans, times, the door; and elsewhere one has no system's shell."""


def url(place: Place) -> str:
    return f"unix:{place.data / 'run' / 'rpc.sock'}"


def open_far(place: Place, *args: str, size: tuple[int, int] = (30, 100)) -> Shell:
    """Open a shell on the host, as if it were elsewhere."""
    shell = Shell(place.command("--connect", url(place), "shell", *args), env=place.env, cwd=place.root, size=size)
    place.shells.append(shell)
    return shell


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("far"), only=("odd", "rpc", "tty"), tty=DOOR)
    yield place.up()
    place.close()


@pytest.fixture
def far(hosted: Place) -> Iterator[Shell]:
    others = len(hosted.shells)
    yield open_far(hosted).ready()
    hosted.close_shells(others)


@pytest.fixture
def own(make_place: Callable[..., Place]) -> Place:
    """A host of one's own, to be ended."""
    return make_place(only=("odd", "rpc", "tty"), tty=DOOR).up()


def menu(shell: Terminal) -> list[str]:
    model = shell.look()
    below = [" ".join(row.split()) for row in model.rows[model.cursor.y + 1 :]]
    return [row for row in below if row and not row.startswith("●")]


def test_it_says_where_it_is(hosted: Place, far: Shell) -> None:
    assert f"trunnion 0.1.0 at {url(hosted)}; try help" in "".join(far.lines())
    far.until(lambda terminal: f"● {hosted.root.name} " in "\n".join(terminal.look().rows))


LINES = (
    "odd.hello Ada --loud",
    "greet Eve",
    "odd.fails",
    "odd.raises",
    "odd.count n=3",
    "help odd.hello",
    "jobs",
    "jobs show 1",
    "jobs result 1",
    "jobs follow 1",
    "!ls",
)


def test_the_same_lines_show_the_same(hosted: Place, far: Shell) -> None:
    near = hosted.shell().ready()
    for line in LINES[:-1]:
        shown = [UNLIKE.sub("*", shell.do(line)) for shell in (near, far)]
        drop = re.compile(r"^(?:run|id|principal|by|created|started|finished|decision|chain).*$", re.MULTILINE)
        kept = [drop.sub("", text).replace(" ", "") for text in shown]
        assert kept[0] == kept[1], line
    assert "the host has no command for lines of the system's shell, or it is not for you" in far.do(LINES[-1])


@pytest.mark.parametrize("typed", ["odd.hel", "odd.hello --", "odd.hello --tone ", "odd.move ", "odd.move car=b"])
def test_the_same_is_offered(hosted: Place, far: Shell, typed: str) -> None:
    near = hosted.shell().ready()
    for shell in (near, far):
        shell.type(typed)
    near.until(menu)
    far.until(lambda terminal: menu(terminal) == menu(near) != [])


def test_a_job_in_the_background_and_ctrl_c(hosted: Place, far: Shell) -> None:
    """Its output comes while one types; fetched to the front it is cancelled; the record says by which door."""
    until = hosted.root / "until"
    shown = far.do(f"odd.talk {until} &", until=re.compile(r"^\[(\d+)\] ([0-9a-f]{4}) ", re.MULTILINE))
    number, tag = re.search(r"^\[(\d+)\] ([0-9a-f]{4}) ", shown, re.MULTILINE).groups()
    far.ready()
    far.type("odd.hello half")
    with until.open("a") as file:
        file.write("word\n")
    far.until(f"{tag}│ word")
    far.until(lambda terminal: terminal.line.endswith("> odd.hello half"))
    far.key("c-c")
    far.ready()
    far.start(f"fg {number}")
    far.until("odd.talk, ")
    far.key("c-c")
    far.until("cancelling odd.talk; Ctrl-C again to leave it to itself")
    far.until("cancelled after ")
    far.ready()
    run = next(run for run in hosted.runs(source="rpc") if run["command_id"] == "odd.talk")
    assert (run["status"], run["source"]) == ("cancelled", "rpc")
    far.start("odd.nap never-there")
    far.key("c-c")
    far.until("Ctrl-C again ")
    far.until("cancelled after ")


def test_a_file_of_this_machine_is_brought(hosted: Place, far: Shell) -> None:
    (hosted.root / "garage.txt").write_text("a garage")
    brought = far.do("odd.move bus --to garage.txt")
    assert re.search(r"bus is in .*/uploads/", brought.replace("\n", "")), brought
    assert '"cellar" is no file of this machine' in far.do("odd.move bus --to cellar")


def test_a_lost_line_is_named_and_all_goes_on_with_the_next_host(own: Place) -> None:
    shell = open_far(own).ready()
    shell.do("odd.nap never-there &", until="odd.nap")
    shell.ready()
    own.kill()
    shell.until(f"the host is gone: cannot reach a host at {url(own)[:20]}")
    shell.type("odd.hello Ada")
    shell.until(lambda terminal: terminal.line.endswith("odd.hello Ada"))
    shell.key("enter")
    shell.until("the host is gone; waiting for it, Ctrl-C gives up")
    own.up()
    shell.until("hello Ada")
    shell.until("odd.nap interrupted")
    shell.until("the host answers again")
    shell.ready()
    assert "hello Eve" in shell.do("odd.hello Eve")
    assert [run["command_id"] for run in own.runs()].count("odd.hello") == 2


def test_waiting_for_a_host_that_is_gone_is_given_up_at_once(own: Place) -> None:
    """What it cannot have heard of never begins: nobody has to ask it for that."""
    shell = open_far(own).ready()
    own.kill()
    shell.until("the host is gone: ")
    shell.start("odd.hello Ada")
    shell.until("waiting for it, Ctrl-C gives up")
    shell.key("c-c")
    shell.until("odd.hello has not begun")
    shell.ready()


def test_lines_nobody_watches_end_as_at_home(hosted: Place) -> None:
    for words in (["-c", "odd.hello Ada"], ["-c", "odd.fails"], ["-c", "nothing"], ["-c", "odd.count n=2"]):
        near, far = hosted.run("shell", *words), hosted.run("--connect", url(hosted), "shell", *words)
        assert (far.returncode, far.stdout) == (near.returncode, near.stdout)
        assert UNLIKE.sub("", far.stderr) == UNLIKE.sub("", near.stderr)


def test_lines_nobody_watches_do_not_wait_for_ever(own: Place) -> None:
    """Defence: ``FarHost._mind``."""
    program = f"import trunnion_tty.main as m; m.BATCH_PATIENCE = 0.5; {LAUNCHER}"
    words = own.command("--connect", url(own), "shell", "-c", "odd.nap never-there", program=program)
    shell = Terminal(words, env=own.env, cwd=own.root)
    own.shells.append(shell)
    shell.until("asleep")
    own.kill()
    shell.until("is gone and has not come back for 0.5 s")
    assert shell.wait() == 9


def test_nobody_there_is_an_error_and_starts_nothing(make_place: Callable[..., Place]) -> None:
    place = make_place()
    done = place.run("--connect", "grpc://127.0.0.1:1", "shell", "-c", "help")
    assert (done.returncode, done.stdout) == (9, "")
    assert "cannot reach a host at grpc://127.0.0.1:1: Connection refused" in done.stderr
    assert not place.data.exists()

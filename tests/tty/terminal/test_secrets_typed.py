"""N4: a secret typed at the hidden question is in no history, recording, screen, command line or file of the host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from canaries_kit import Search
from tty_kit.place import Place, Shell

CANARY = "c4n4ry-of-the-shell-0123456789-z"


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def command_lines() -> bytes:
    found = b""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found += (entry / "cmdline").read_bytes()
            except OSError:
                continue
    return found


def found(place: Place, shell: Shell) -> list[str]:
    """Where the canary is, in any of its forms."""
    search = Search([CANARY])
    places = {**files_of(place.root), "terminal": bytes(shell.raw), "command lines": command_lines()}
    return [name for name, data in places.items() if search.found(data)]


def give(shell: Shell, line: str = "odd.unlock", secret: str = CANARY) -> str:
    shell.do(line, until="code:")
    shell.type(secret)
    shell.until(lambda terminal: "code:" in terminal.line)
    shell.key("enter")
    return shell.ready().text()


def test_n4_a_secret_that_is_typed_is_found_nowhere(place: Place, figure: Callable[..., None]) -> None:
    shell = place.shell()
    shell.do("record session.trn")
    assert f"{len(CANARY)}\nsucceeded after" in give(shell)
    assert f"{len(CANARY)}\nsucceeded after" in give(shell, "odd.unlock --door back")
    shell.do("odd.unlock &", until="code:")
    shell.enter(CANARY)
    shell.until("odd.unlock succeeded")
    shell.ready()
    for line in ("jobs show 1", "jobs export 1", "history 50"):
        shell.do(line)
    shell.key("up", "up", "c-c")
    shell.ready()
    shell.do("record off")
    assert found(place, shell) == []
    shell.key("c-d")
    assert shell.wait() == 0
    assert found(place, shell) == []
    assert (place.root / "session.trn").read_text().startswith("odd.unlock\nodd.unlock --door back\n")
    figure("places looked into", len(files_of(place.root)) + 2)
    figure("canaries found", 0)


@pytest.mark.parametrize(
    "line",
    [f"odd.unlock code={CANARY}", f"odd.unlock --code {CANARY}", f"odd.unlock --code={CANARY}",
     f"odd.unlock --door x --code '{CANARY}' &", f"alias open odd.unlock code={CANARY}"],
)  # fmt: skip
def test_n4_a_secret_in_a_line_is_refused_and_not_kept(place: Place, line: str) -> None:
    shell = place.shell().ready()
    shell.do("record session.trn")
    shell.type(line)
    shell.until(lambda terminal: CANARY[-5:] in terminal.line)
    shell.key("enter")
    shell.until("code is secret: leave it out")
    if not line.startswith("alias"):  # which is done, and refused; the others stay in the line
        shell.key("c-c")
    shell.ready()
    shell.do("odd.hello")
    shell.key("c-d")
    assert shell.wait() == 0
    search = Search([CANARY])
    assert [name for name, data in files_of(place.root).items() if search.found(data)] == []


def test_n4_a_place_of_a_secret_may_stand_in_a_line(place: Place) -> None:
    (place.root / "code").write_text(CANARY)
    shell = place.shell(env={"CODE": CANARY})
    assert f"{len(CANARY)}\nsucceeded" in shell.do("odd.unlock code=env:CODE")
    assert f"{len(CANARY)}\nsucceeded" in shell.do("odd.unlock --code file:code")
    (place.root / "code").unlink()
    assert found(place, shell) == []


def test_a_question_for_a_secret_can_be_left(used: Shell, hosted: Place) -> None:
    before = len(hosted.runs(command="odd.unlock"))
    for key in ("c-c", "c-d"):
        used.do("odd.unlock", until="code:")
        used.key(key)
        assert "nothing was done" in used.ready().text()
    assert len(hosted.runs(command="odd.unlock")) == before


def test_what_is_pasted_as_a_secret_runs_nothing(place: Place) -> None:
    """Line ends in it belong to it, or are dropped: what stands behind one is no line."""
    for bracketed in (True, False):
        shell = place.shell()
        shell.do("odd.unlock", until="code:")
        shell.paste("first\nodd.noop\nodd.noop\n", bracketed=bracketed)
        shell.until(lambda terminal: "code:" in "".join(terminal.screen()))
        shell.key("c-c")
        shell.ready()
        shell.key("c-c")
        assert "hello you" in shell.do("odd.hello")
        assert not place.runs(command="odd.noop")
        shell.close()

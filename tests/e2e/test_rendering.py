"""Output on a real terminal: bars that are taken away, colours and how to do without, tables, folded results."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

PLUGIN = '''
"""Commands that print what a terminal has to show well."""

import sys
import time
from pathlib import Path

from trunnion import Context, command, commands_of, hookimpl


@command(console="looks", lock=None)
def bars(ctx: Context, folder: str, kind: str = "tqdm") -> None:
    """A bar that stands still, twice, until a file is there; what is drawn too soon after another is held back."""
    if kind == "tqdm":
        from tqdm import tqdm

        bar = tqdm(total=5, desc="fetch", ncols=60, colour="green")
    for step in range(1, 6):
        if kind == "tqdm":
            bar.update()
        while step in (2, 3) and not Path(folder, str(step)).exists():
            bar.refresh() if kind == "tqdm" else ctx.progress(step, 5, "fetching a house of many rooms")
            time.sleep(0.005)
        if step == 2:
            print("printed meanwhile")
    if kind == "tqdm":
        bar.close()


@command(console="looks")
def table(ctx: Context) -> None:
    """Wide characters."""
    ctx.table([["水泵", 3, "日本語"], ["x", 12.5]], ["name", "n", "語"], "装置", rule="═", indent=2)


@command(console="looks", lock=None)
async def all(ctx: Context) -> dict:
    """Everything there is."""
    ctx.echo("\\x1b[31mred of its own\\x1b[0m")
    for level in ("debug", "info", "warning", "error"):
        ctx.log(f"a {level} line", level)
    ctx.table([["水泵", 3, "日本語"], ["x", 12.5]], ["name", "n", "語"], "装置", rule="═", indent=2)
    await ctx.artifact("report.csv", b"a,b", "text/csv")
    return {"rows": [{"id": n, "name": f"row {n}"} for n in range(100)]}


@command(console="looks", keep="none")
def click() -> list:
    """No record, a long result."""
    return [{"id": n, "name": f"row {n}"} for n in range(100)]


@hookimpl
def trunnion_commands(settings):
    return commands_of(sys.modules[__name__])
'''
LINES = 40
PATIENCE = 20
COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


@pytest.fixture(scope="module")
def looks(make_shared: Callable[..., Any]) -> Any:
    made = make_shared(looks=PLUGIN)
    del made.env["COLUMNS"]
    return made


class Terminal:
    """The launcher on a terminal, and what a person sees of it."""

    def __init__(self, place: Any, *args: str, program: list[str] | None = None, columns: int = 80, **env: str) -> None:
        command, *words = [*(program or place.program), *args]
        self.screen = pyte.Screen(columns, LINES)
        self.raw = ""
        self._stream = pyte.Stream(self.screen)
        self.process = pexpect.spawn(
            command,
            words,
            env={**place.env, **env},
            cwd=str(place.root),
            encoding="utf-8",
            dimensions=(LINES, columns),
            timeout=PATIENCE,
        )

    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def until(self, seen: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not seen():
            assert time.monotonic() < deadline, (self.lines(), self.raw)
            try:
                said = self.process.read_nonblocking(65536, timeout=0.1)
            except pexpect.TIMEOUT:
                continue
            self.raw += said
            self._stream.feed(said)

    def rest(self) -> str:
        said = self.process.read()
        self.raw += said
        self._stream.feed(said)
        self.process.close()
        return self.raw

    def resize(self, columns: int) -> None:
        self.process.setwinsize(LINES, columns)
        self.screen.resize(LINES, columns)


def test_a_bar_of_tqdm_is_one_line_that_text_takes_the_place_of(looks, tmp_path):
    """Drawn below what is printed, taken away for it, drawn again, and its last form stays."""
    pytest.importorskip("tqdm")
    terminal = Terminal(looks, "run", "looks.bars", str(tmp_path))
    terminal.until(lambda: any(line.startswith("fetch:  40%|") for line in terminal.lines()))
    assert len(terminal.lines()) == 1
    (tmp_path / "2").touch()
    terminal.until(lambda: terminal.lines()[:1] == ["printed meanwhile"] and "fetch:  60%|" in terminal.lines()[-1])
    assert len(terminal.lines()) == 2, "the bar that was above is gone"
    (tmp_path / "3").touch()
    raw = terminal.rest()
    first, last, end = terminal.lines()
    assert first == "printed meanwhile"
    assert re.fullmatch(r"fetch: 100%\|█+\| 5/5 \[.*it/s\]", last)
    assert " succeeded after " in end
    assert set(re.findall(r"\x1b\[[^m]*?[A-Za-z]", COLOUR.sub("", raw))) == {"\x1b[K"}, (
        "one line needs no more than that"
    )
    assert "\x1b[32m" in raw, "its colour is its own"


def test_progress_fits_the_line_however_narrow_it_becomes(looks, tmp_path):
    terminal = Terminal(looks, "run", "looks.bars", str(tmp_path), "progress", columns=60)
    terminal.until(lambda: terminal.lines() and "40 %" in terminal.lines()[-1])
    [drawn] = terminal.lines()
    assert re.fullmatch(r"fetching a house of many rooms ━+─+ 40 %", drawn)
    terminal.resize(30)
    (tmp_path / "2").touch()
    terminal.until(lambda: any("60 %" in line for line in terminal.lines()))
    assert re.fullmatch(r"fetching a.*… ━+─+ 60 %", terminal.lines()[-1])
    (tmp_path / "3").touch()
    terminal.rest()
    assert not any("%" in line for line in terminal.lines()), "nothing of it stays"


def test_colours_say_levels_and_a_result_is_folded_with_a_way_to_all_of_it(looks):
    terminal = Terminal(looks, "run", "looks.all")
    raw = terminal.rest()
    assert "\x1b[33mwarning:\x1b[0m \x1b[33ma warning line\x1b[0m" in raw
    assert "\x1b[91merror:\x1b[0m" in raw
    assert len(raw.splitlines()) < LINES + 15
    assert "more\x1b[0m" in raw
    [hint] = re.findall(r"all of the result: trunnion (.*)", raw)
    whole = looks.run(*shlex.split(hint))
    assert whole.out.count('"id"') == 100


def test_a_table_with_wide_characters_lines_up(looks):
    terminal = Terminal(looks, "run", "looks.table")
    terminal.rest()
    assert terminal.lines()[0] == "装置"
    columns = [[x for x in range(30) if terminal.screen.buffer[y][x].data not in ("", " ")] for y in range(1, 5)]
    header, rule, first, second = columns
    assert rule == [2, 3, 4, 5, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19]
    assert header == [2, 3, 4, 5, 11, 14]
    assert first == [2, 4, 11, 14, 16, 18]
    assert second == [2, 8, 9, 10, 11]


def test_a_kept_file_is_named_by_its_path(looks):
    raw = COLOUR.sub("", Terminal(looks, "run", "looks.all", columns=200).rest())
    [path] = re.findall(r"artifact: report\.csv, 3 B, (\S+)", raw)
    assert Path(path).read_bytes() == b"a,b"
    assert path.startswith(str(looks.data))
    run = re.search(r"run (\S+) succeeded", raw)[1]
    assert f"artifact: report.csv, 3 B, {path}" in looks.run("follow", f"run/{run}").err
    assert f"artifact: report.csv, 3 B, id {Path(path).name}" in looks.run("runs", "events", run).err


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_where_no_colour_is_wanted_only_that_of_programs_is_there(looks, env):
    raw = Terminal(looks, "run", "looks.all", **env).rest()
    assert set(COLOUR.findall(raw)) == {"\x1b[31m", "\x1b[0m"}
    assert raw.count("\x1b") <= 3, "the program's own two, and the reset that ends its block"
    assert "warning: a warning line" in raw


def test_a_dumb_terminal_is_told_of_progress_in_lines(looks, tmp_path):
    terminal = Terminal(looks, "run", "looks.bars", str(tmp_path), "progress", TERM="dumb")
    terminal.until(lambda: "progress: fetching a house of many rooms 40 %\r\n" in terminal.raw)
    (tmp_path / "2").touch()
    (tmp_path / "3").touch()
    assert "\x1b" not in terminal.rest()


def test_without_utf_8_a_bar_is_of_ascii(looks, tmp_path):
    terminal = Terminal(looks, "run", "looks.bars", str(tmp_path), "progress", PYTHONIOENCODING="ascii")
    terminal.until(lambda: terminal.lines() and "40 %" in terminal.lines()[-1])
    assert re.fullmatch(r"fetching a house of many rooms #+-+ 40 %", terminal.lines()[-1])
    (tmp_path / "2").touch()
    (tmp_path / "3").touch()
    terminal.rest()


def test_output_in_a_pipe_is_as_it_is_while_the_terminal_shows_the_rest(looks, tmp_path):
    line = f"{shlex.join(looks.program)} run looks.all > {tmp_path / 'out'}"
    terminal = Terminal(looks, program=["/bin/sh", "-c", line])
    raw = terminal.rest()
    out = (tmp_path / "out").read_text()
    assert out == "\x1b[31mred of its own\x1b[0m\nname\tn\t語\n水泵\t3\t日本語\nx\t12.5\n"
    assert "\x1b[33mwarning:" in raw
    assert "result:" in raw


def test_what_is_on_no_record_is_not_folded(looks):
    raw = Terminal(looks, "run", "looks.click").rest()
    assert raw.count('"id"') == 100
    assert "all of the result" not in raw

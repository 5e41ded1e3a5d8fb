"""Tables on a terminal: in columns, folded where they must be, with nothing lost but what is asked to be cut."""

from __future__ import annotations

import re
import time
from io import StringIO
from itertools import zip_longest

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from trunnion.model.tables import DEFAULT_LOOK, table_of
from trunnion.rendering import DARK, Table, TableLook, draw_table, tabbed_table, visible, width_of
from trunnion.rendering.table import FOLDED, NARROWEST, cell_text

COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
LOOKS = st.builds(
    TableLook,
    align=st.lists(st.sampled_from(["left", "right", "center"]), max_size=4),
    wrap=st.booleans(),
    indent=st.integers(0, 6),
    title_indent=st.integers(0, 6),
    rule=st.sampled_from(["", "-", "═", "=-", "日"]),
    gap=st.integers(1, 4),
    extra=st.sampled_from(["show", "cut"]),
)
WORDS = st.sampled_from(["a", "plc", "日本語", "e\u0301t\u00e9", "한국어", "👩\u200d💻", "long-word-" * 6, "x", "½"])
TEXT = st.lists(WORDS, min_size=1, max_size=9).map(" ".join)
CELLS = TEXT | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6) | st.none() | st.booleans() | st.just("two\nlines")
CELLS |= TEXT.map(lambda text: f"\x1b[31m{text}")
ROWS = st.lists(st.lists(CELLS, max_size=5), max_size=6)
TABLES = st.builds(Table, rows=ROWS, headers=st.lists(TEXT, max_size=4), title=TEXT | st.just(""), look=LOOKS)
WIDTHS = st.integers(20, 160)


def plain(text: str) -> str:
    return COLOUR.sub("", text)


def lines_of(table: Table, width: int = 200) -> list[str]:
    return plain(draw_table(table, width, DARK)).split("\n")[:-1]


def ink(text: str) -> str:
    """What is seen of text, wherever it is broken."""
    return "".join(plain(text).split())


def kept(table: Table) -> list[list[str]]:
    most = len(table.headers) if table.look.extra == "cut" and table.headers else None
    return [[cell_text(cell) for cell in row[:most]] for row in [table.headers, *table.rows]]


def natural(table: Table) -> list[int]:
    """How wide each column is while nothing is folded."""
    columns = zip_longest(*kept(table), fillvalue="")
    return [max(width_of(visible(line)) for cell in column for line in cell.split("\n")) for column in columns]


@given(TABLES, WIDTHS)
def test_lines_fit_where_the_columns_can(table, width):
    least = [size if not number or size <= FOLDED else NARROWEST for number, size in enumerate(natural(table))]
    can_fit = sum(least) + table.look.gap * (len(least) - 1) + table.look.indent <= width
    if table.look.wrap and can_fit and width - table.look.title_indent >= NARROWEST:
        assert all(width_of(line) <= width for line in draw_table(table, width, DARK).split("\n"))


@given(TABLES, WIDTHS)
def test_no_text_is_lost_and_none_is_added(table, width):
    bare = Table(table.rows, table.headers, table.title, TableLook(**{**look_of(table), "rule": ""}))
    shown = sorted(ink(draw_table(bare, width, DARK)))
    assert shown == sorted(ink(table.title) + "".join(ink(cell) for row in kept(table) for cell in row))


@given(TABLES, WIDTHS)
def test_what_names_a_row_is_never_folded(table, width):
    lines = lines_of(table, width)
    for row in kept(table):
        for line in row[0].split("\n") if row else ():
            assert any(plain(line).strip() in drawn for drawn in lines)


@given(TABLES)
def test_columns_line_up(table):
    """With room enough each cell stands where its column is, at the side it is asked to."""
    sizes, look = natural(table), table.look
    starts = [look.indent + sum(sizes[:number]) + look.gap * number for number in range(len(sizes))]
    lines = lines_of(table, 2000)[bool(table.title) :]
    if look.rule and table.headers:
        rule = lines.pop(1)
        assert [columns(rule, start, size) for start, size in zip(starts, sizes, strict=True)] == [
            ("日" * (size // 2) + " " * (size % 2) if look.rule == "日" else (look.rule * size)[:size])
            for size in sizes
        ]
    at = 0
    for number, row in enumerate(kept(table)):
        if not row and not number:
            continue
        cells = [plain(cell).split("\n") for cell in row] or [[""]]
        for parts in zip_longest(*cells, fillvalue=""):
            for column, part in enumerate(parts):
                size = sizes[column] if column < len(sizes) else 0
                room = columns(lines[at], starts[column] if sizes else 0, size)
                asked = look.align[column] if column < len(look.align) else default(table, column)
                free = size - width_of(part)
                left = {"left": 0, "right": free, "center": free // 2}[asked]
                assert room.rstrip() == (" " * left + part).rstrip()
            at += 1
    assert at == len(lines)


def default(table: Table, column: int) -> str:
    cells = [row[column] for row in table.rows if column < len(row) and row[column] is not None]
    numbers = [isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells]
    return "right" if cells and all(numbers) else "left"


def columns(line: str, start: int, size: int) -> str:
    """What stands in a part of a line, by columns of the terminal."""
    from wcwidth import iter_graphemes

    at, found = 0, ""
    for char in iter_graphemes(line):
        if start <= at < start + size:
            found += char
        at += width_of(char)
    return found + " " * (size - width_of(found))


def look_of(table: Table) -> dict[str, object]:
    return {name: getattr(table.look, name) for name in TableLook.__struct_fields__}


@given(st.lists(st.lists(st.text("abc XYZ.", max_size=12).map(str.strip), min_size=3, max_size=3), max_size=5))
def test_an_ordinary_table_is_as_rich_draws_it(rows):
    headers = ["name", "b", "c c"]
    other = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in headers:
        other.add_column(header, no_wrap=True)
    for row in rows:
        other.add_row(*map(Text, row))
    console = Console(file=StringIO(), width=100)
    console.print(other)
    theirs = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert [line.rstrip() for line in lines_of(Table(rows, headers), 100)] == theirs


@given(TABLES, WIDTHS)
def test_nothing_acts_on_a_terminal_whatever_is_in_the_cells(table, width):
    nasty = Table([[f"\x1b[2J{cell}\x07" for cell in row] for row in table.rows], ["\x1b]0;t\x07"], "\x1b[H\r")
    drawn = COLOUR.sub("", draw_table(nasty, width, DARK))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", drawn)


def test_how_the_options_look():
    rows = [["plc1", 3, "日本"], ["x", 12.5], ["y", None, "c", "surplus"]]
    look = TableLook(indent=2, title_indent=1, rule="=", gap=3)
    assert lines_of(Table(rows, ["name", "value", "about"], "Devices", look)) == [
        " Devices",
        "  name   value   about",
        "  ====   =====   =====   =======",
        "  plc1       3   日本",
        "  x       12.5",
        "  y              c       surplus",
    ]
    cut = TableLook(extra="cut", align=["right", "center", "right"])
    assert lines_of(Table(rows, ["name", "value", "about"], "", cut)) == [
        "name  value  about",
        "plc1    3     日本",
        "   x  12.5",
        "   y             c",
    ]


def test_a_rule_of_several_or_wide_characters_is_as_wide_as_its_column():
    assert lines_of(Table([["abcde", "abcd"]], ["a", "b"], "", TableLook(rule="<>")))[1] == "<><><  <><>"
    assert lines_of(Table([["abcde", "abcd"]], ["a", "b"], "", TableLook(rule="日")))[1] == "日日   日日"
    assert len(lines_of(Table([["abcde"]], ["a"], "", TableLook(rule="\u0301")))) == 2, (
        "what has no width rules nothing"
    )
    assert lines_of(Table([["a"]], [], "", TableLook(rule="-"))) == ["a"], "a rule is below headers"


def test_long_cells_share_what_room_there_is():
    short, long = "s " * 25, "l " * 300
    lines = lines_of(Table([["name", short, long, "end"]]), 120)
    assert max(map(width_of, lines)) <= 120
    assert short.strip() in lines[0], "one that fits its share is not folded"
    assert len(lines_of(Table([["name", short, long, "end"]], look=TableLook(wrap=False)), 120)) == 1


def test_a_name_is_whole_and_what_stands_beside_it_lines_up_however_long_it_is():
    name = "n" * (FOLDED + 20)
    lines = lines_of(Table([[name, "l " * 200], ["short", "second"]]), 100)
    assert lines[0].startswith(f"{name}  l l")
    assert lines[-1] == "short".ljust(len(name)) + "  second"
    longest = lines_of(Table([["n" * 5000, "x"]]), 100)
    assert longest == ["n" * 5000 + "  x"]


def test_short_cells_are_not_folded_where_they_do_not_fit():
    cells = ["name", "b " * (FOLDED // 2 - 1) + "b", "c " * 9 + "c"]
    assert lines_of(Table([cells]), 30) == ["  ".join(cells)]


def test_tabs_and_line_ends_in_cells():
    assert lines_of(Table([["a\tb", "one\ntwo\n", "z"], ["c"]])) == ["a   b  one  z", "       two", "c"]
    assert tabbed_table(Table([["a\tb", "one\ntwo"]], ["h"])) == "h\na b\tone two\n"


def test_colour_in_a_cell_ends_with_each_of_its_lines():
    drawn = draw_table(Table([["n", "\x1b[31m" + "red " * 30, "plain"], ["n", "\x1b[31mred\nred", "plain\nplain"]]), 60)
    screen = pyte.Screen(60, 10)
    pyte.Stream(screen).feed(drawn.replace("\n", "\r\n"))
    reds = {
        (y, x)
        for y in range(10)
        for x in range(60)
        if screen.buffer[y][x].fg == "red" and screen.buffer[y][x].data != " "
    }
    assert len({y for y, _ in reds}) > 1
    assert all(screen.buffer[y][x].data in "red" for y, x in reds)
    assert screen.buffer[0][screen.display[0].index("plain")].fg == "default"


def test_a_table_of_nothing():
    assert lines_of(Table([])) == []
    assert lines_of(Table([], ["a", "b"], "T")) == ["T", "a  b"]
    assert lines_of(Table([[], ["a"], []])) == ["", "a", ""]


@pytest.mark.parametrize(
    "rows", [[["x"] * 200_000], [["x" * 200_000, 1], *[["a", 1]] * 1_000], [["\n" * 100_000, "a"]]]
)
@pytest.mark.parametrize("wrap", [True, False])
def test_odd_shapes_cost_what_their_cells_cost(rows, wrap):
    begun = time.process_time()
    drawn = draw_table(Table(rows, ["h"], "", TableLook(wrap=wrap)), 80)
    assert len(drawn) < 40 << 20, "blanks without end are not made"
    assert time.process_time() - begun < 20


def test_a_look_nobody_checked_counts_as_far_as_it_fits():
    data = {"rows": [[1], "no row", None], "headers": ["h", 2], "title": 5, "rule": "-", "gap": 10**9, "indent": "x"}
    table = table_of({**data, "align": ["middle"], "extra": "cut", "wrap": None})
    assert table == Table([[1], (), ()], ["h", 2], "", TableLook(rule="-", extra="cut"))
    assert table_of(None) == table_of({"rows": 5}) == Table([], ())
    assert table_of({}).look is DEFAULT_LOOK


def test_for_programs_there_are_tabs():
    table = Table([["a", 1, None, True], ["b", [1, {"x": "ä"}], "c"]], ["h", "i"], "T", TableLook(rule="-", indent=3))
    assert tabbed_table(table) == 'h\ti\na\t1\t\ttrue\nb\t[1,{"x":"ä"}]\tc\n'
    assert tabbed_table(Table(table.rows, ["h"], look=TableLook(extra="cut"))) == "h\na\nb\n"

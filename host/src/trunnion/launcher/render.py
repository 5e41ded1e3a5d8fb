"""Events of a stream for a person: text as it is, logs with their level, tables and progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from trunnion.launcher.screen import Screen, as_text
from trunnion.model.events import ARTIFACT, DATA, GAP, LOG, META, PROGRESS, STATE, STATS, TABLE, TEXT, Event
from trunnion.model.json import Json

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Renderer:
    """Shows events as they come. ``close`` clears what is still drawn.

    Args:
        screen: where to; with ``--json`` it is given each event as one line of JSON.
        states: show all changes of state, not only that a run is tried again.
    """

    def __init__(self, screen: Screen, *, states: bool = False) -> None:
        self._screen = screen
        self._bar = _Bar(screen) if screen.err_is_terminal else _Steps(screen)
        self._kinds: Mapping[str, Callable[[Event], None]] = {
            TEXT: self._text,
            LOG: self._log,
            TABLE: self._table,
            PROGRESS: self._progress,
            GAP: self._log,
            ARTIFACT: self._artifact,
            META: self._nothing,
            STATS: self._nothing,
            STATE: self._state if states else self._retried,
            DATA: self._data,
        }

    def show(self, event: Event) -> None:
        """Show one event; a kind nobody knows is shown as data."""
        self._kinds.get(event.kind, self._data)(event)

    def close(self) -> None:
        """Clear what is drawn and will not stay."""
        self._bar.clear()

    def _text(self, event: Event) -> None:
        data = _object(event)
        if data.get("update") is True:
            self._bar.line(event.text)
            return
        self._bar.clear()
        (self._screen.err if data.get("channel") == "stderr" else self._screen.out)(event.text)

    def _log(self, event: Event) -> None:
        self._line(f"{event.level}: {event.text}")

    def _state(self, event: Event) -> None:
        self._line(event.text or f"state: {as_text(event.data)}")

    def _retried(self, event: Event) -> None:
        """Whoever waits for a run is told why nothing happens for a while."""
        if "failed_attempt" in _object(event):
            self._line(event.text)

    def _artifact(self, event: Event) -> None:
        self._line(f"artifact: {event.text or as_text(event.data)}")

    def _line(self, text: str) -> None:
        self._bar.clear()
        self._screen.err(text.rstrip("\n") + "\n")

    def _data(self, event: Event) -> None:
        self._bar.clear()
        text = event.text or as_text(event.data)
        self._screen.out(text.rstrip("\n") + "\n")

    def _progress(self, event: Event) -> None:
        data = _object(event)
        self._bar.progress(_number(data.get("done")) or 0.0, _number(data.get("total")), event.text)

    def _table(self, event: Event) -> None:
        data = _object(event)
        rows = [[_cell(cell) for cell in row] for row in _rows(data.get("rows"))]
        headers = [_cell(header) for header in _items(data.get("headers"))]
        title = data.get("title")
        self._bar.clear()
        show_table(self._screen, rows, headers, title if isinstance(title, str) else "")

    def _nothing(self, event: Event) -> None:
        """Of no interest to whoever looks on."""


class _Steps:
    """Progress where nothing can be drawn: a line for every tenth."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._last = ""

    def progress(self, done: float, total: float | None, text: str) -> None:
        """Say how far it is, if that is a tenth further or another text."""
        shown = f"{text} {int(done * 10 / total) * 10} %" if total else text
        if shown.strip() and shown != self._last:
            self._last = shown
            self._screen.note(f"progress: {shown.strip()}")

    def line(self, text: str) -> None:
        """A line being rewritten; its last form comes as text."""

    def clear(self) -> None:
        """Nothing is drawn."""


class _Bar:
    """Progress drawn on the terminal, below whatever else is printed."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._drawn: Progress | None = None
        self._task: TaskID | None = None
        self._line = False

    def progress(self, done: float, total: float | None, text: str) -> None:
        """Draw or move the bar."""
        from trunnion.launcher.visible import visible

        self._clear_line()
        if self._drawn is None or self._task is None:
            self._drawn = _new_bar(self._screen)
            self._task = self._drawn.add_task("", total=total)
            self._drawn.start()
        self._drawn.update(self._task, completed=done, total=total, description=visible(text).replace("\n", " "))
        self._drawn.refresh()

    def line(self, text: str) -> None:
        """Draw the present form of a line that is being rewritten."""
        from trunnion.launcher.visible import visible

        self.clear()
        self._line = True
        self._raw("\r\x1b[K" + visible(text).replace("\n", " "))

    def clear(self) -> None:
        """Take away what is drawn."""
        self._clear_line()
        if self._drawn is not None:
            self._drawn.stop()
            self._drawn = self._task = None

    def _clear_line(self) -> None:
        if self._line:
            self._line = False
            self._raw("\r\x1b[K")

    def _raw(self, text: str) -> None:
        self._screen.stderr.write(text)
        self._screen.stderr.flush()


def _new_bar(screen: Screen) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    return Progress(*columns, console=Console(file=screen.stderr), transient=True, auto_refresh=False)


def show_table(screen: Screen, rows: Sequence[Sequence[str]], headers: Sequence[str], title: str = "") -> None:
    """A table on standard output: drawn on a terminal, tab-separated lines elsewhere.

    Only long cells are folded, and never those of the first column, which names the row and is copied.
    """
    if not screen.out_is_terminal:
        for row in ([headers] if headers else []) + list(rows):
            screen.out("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row) + "\n")
        return
    screen.out(_drawn_table(rows, headers, title))


_FOLDED = 40
"""Columns of the terminal beyond which a cell may be folded. Where shorter ones do not fit the terminal wraps the line:
a table of slivers is of use to nobody."""

_GAP = 2


def _drawn_table(rows: Sequence[Sequence[str]], headers: Sequence[str], title: str) -> str:
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from trunnion.launcher.visible import visible

    heads = [Text(visible(header)) for header in headers]
    cells = [[Text.from_ansi(visible(cell)) for cell in row] for row in rows]
    table = Table(
        title=Text(visible(title)) if title else None, box=None, pad_edge=False, padding=(0, _GAP, 0, 0),
        show_header=bool(headers),
    )  # fmt: skip
    least = 0
    for index in range(max(map(len, [heads, *cells]), default=0)):
        width = max(row[index].cell_len for row in [heads, *cells] if index < len(row))
        whole = index == 0 or width <= _FOLDED
        table.add_column(heads[index] if index < len(heads) else "", overflow="fold", no_wrap=whole)
        least += (width if whole else _FOLDED // 2) + _GAP
    for row in cells:
        table.add_row(*row)
    console = Console(file=StringIO(), force_terminal=True, width=max(Console().width, least))
    with console.capture() as capture:
        console.print(table)
    return "".join(line.rstrip() + "\n" for line in capture.get().splitlines())


def _object(event: Event) -> Mapping[str, Json]:
    data = event.data
    return data if isinstance(data, Mapping) else {}


def _items(value: Json) -> Sequence[Json]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _rows(value: Json) -> list[Sequence[Json]]:
    return [_items(row) for row in _items(value)]


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _cell(value: Json) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else as_text(value)

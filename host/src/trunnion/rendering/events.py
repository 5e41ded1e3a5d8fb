"""Events of a stream as text for a person: what stays, and what is drawn below it for a while."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from trunnion.model.events import ARTIFACT, DATA, GAP, LEVELS, LOG, META, PROGRESS, STATE, STATS, TABLE, TEXT, Event
from trunnion.model.json import Json
from trunnion.model.runs import ArtifactInfo
from trunnion.model.tables import table_of
from trunnion.rendering.bars import Live
from trunnion.rendering.folding import fold
from trunnion.rendering.neutral import visible
from trunnion.rendering.palette import PLAIN, Palette
from trunnion.rendering.sizes import readable_size
from trunnion.rendering.table import cell_text, draw_table, tabbed_table

LINES = 40
"""Lines of the terminal that one value may take."""

ArtifactPath: TypeAlias = Callable[[str, str], "str | None"]
"""Where a kept file lies, by the ids of its run and its own; None where that is not known."""


class Rendered(NamedTuple):
    """What becomes of one event.

    Attributes:
        text: whole lines that stay; ``""`` for none.
        error: the text belongs on standard error.
        live: takes the place of what is drawn live for this stream. Where there is text and no ``live``, what is drawn
            is to be taken away; where there is neither, it stays.
    """

    text: str = ""
    error: bool = False
    live: Live | None = None


NOTHING = Rendered()


class EventRenderer:
    """Makes text of the events of one stream. It draws nothing and remembers nothing.

    Args:
        palette: what is coloured how; nothing is, by default.
        width: asks for the columns of the terminal.
        states: the least level of a change of state that is shown, ``off`` for none. That a run is tried again is
            always shown: whoever waits for it is told why nothing happens for a while.
        artifact_path: tells where a kept file lies, where the reader can get at it.
        raw: for a pipe or a file: text as it is, tables with tabs, JSON whole, nothing neutralised or coloured.
        lines: how many lines of the terminal one value may take.
    """

    def __init__(
        self,
        palette: Palette,
        width: Callable[[], int],
        *,
        states: str = "off",
        artifact_path: ArtifactPath | None = None,
        raw: bool = False,
        lines: int = LINES,
    ) -> None:
        self._palette = PLAIN if raw else palette
        self._width = width
        self._least = LEVELS.get(states, math.inf)
        self._artifact_path = artifact_path
        self._raw = raw
        self._lines = lines
        self._safe: Callable[[str], str] = str if raw else visible
        self._kinds: Mapping[str, Callable[[Event], Rendered]] = {
            TEXT: self._text,
            LOG: self._log,
            TABLE: self._table,
            PROGRESS: self._progress,
            GAP: self._log,
            ARTIFACT: self._artifact,
            META: _nothing,
            STATS: _nothing,
            STATE: self._state,
            DATA: self._data,
        }

    def render(self, event: Event) -> Rendered:
        """What one event looks like; a kind nobody knows is shown as data."""
        return self._kinds.get(event.kind, self._data)(event)

    def _text(self, event: Event) -> Rendered:
        data = _object(event)
        if data.get("update") is True:
            return Rendered(error=True, live=Live(self._in_one_line(event.text)))
        is_error = data.get("channel") == "stderr"
        text = self._safe(event.text)
        if event.level not in ("info", "warning" if is_error else "") and self._palette:
            text = self._palette.paint(event.level, text)  # what was said on standard error is no warning for that
        return Rendered(text, is_error)

    def _log(self, event: Event) -> Rendered:
        """The level in its colour; the text too where it is out of the ordinary, and where the host itself speaks."""
        role = "host" if event.by == "host" else event.level if event.level != "info" else ""
        return self._line(f"{self._palette.paint(event.level, self._safe(event.level) + ':')} ", event.text, role)

    def _state(self, event: Event) -> Rendered:
        if LEVELS.get(event.level, 0) < self._least and "failed_attempt" not in _object(event):
            return NOTHING
        return self._line("", event.text or f"state: {cell_text(event.data)}", "state")

    def _artifact(self, event: Event) -> Rendered:
        try:
            info = msgspec.json.decode(event.raw, type=ArtifactInfo)
        except msgspec.DecodeError:
            return self._line("", f"artifact: {event.text or cell_text(event.data)}", "artifact")
        path = self._artifact_path(info.run_id, info.id) if self._artifact_path is not None else None
        where = path or f"id {info.id}"
        return self._line("", f"artifact: {info.name}, {readable_size(info.size)}, {where}", "artifact")

    def _line(self, label: str, text: str, role: str) -> Rendered:
        return Rendered(label + self._palette.paint(role, self._safe(text.rstrip("\n"))) + "\n", error=True)

    def _data(self, event: Event) -> Rendered:
        if event.text:
            return Rendered(self._safe(event.text.rstrip("\n")) + "\n")
        if self._raw:
            return Rendered(cell_text(event.data).rstrip("\n") + "\n")
        return Rendered(fold(event.data, width=self._width(), lines=self._lines, palette=self._palette).text)

    def _progress(self, event: Event) -> Rendered:
        data = _object(event)
        text = event.text or data.get("text")
        shown = self._in_one_line(text) if isinstance(text, str) else ""
        live = Live(shown, _number(data.get("done")) or 0.0, _number(data.get("total")))
        return Rendered(error=True, live=live)

    def _table(self, event: Event) -> Rendered:
        table = table_of(event.data)
        return Rendered(tabbed_table(table) if self._raw else draw_table(table, self._width(), self._palette))

    def _in_one_line(self, text: str) -> str:
        return self._safe(text).replace("\n", " ").replace("\t", " ")


def _nothing(_event: Event) -> Rendered:
    """Of no interest to whoever looks on."""
    return NOTHING


def _object(event: Event) -> Mapping[str, Json]:
    data = event.data
    return data if isinstance(data, Mapping) else {}


def _number(value: Json) -> float | None:
    try:
        return float(value) if isinstance(value, int | float) else None
    except OverflowError:
        return None

"""What is drawn below the output and does not stay: progress, and a line that is being rewritten."""

from __future__ import annotations

import math
from typing import NamedTuple

from trunnion.rendering.columns import clipped, width_of
from trunnion.rendering.palette import PLAIN, Palette

LONGEST_BAR = 40
SHORTEST_BAR = 8


class Live(NamedTuple):
    """What is drawn and does not stay.

    Attributes:
        text: one line, neutralised.
        done, total: how far it is, of progress; None for a line that is being rewritten, or where no total is known.
    """

    text: str
    done: float | None = None
    total: float | None = None

    @property
    def percent(self) -> int | None:
        """How far it is, 0 to 100; None where that is not known."""
        if self.done is None or not self.total or not math.isfinite(self.done / self.total):
            return None
        return int(min(1.0, max(0.0, self.done / self.total)) * 100)


def bar(live: Live, width: int, palette: Palette = PLAIN, *, only_ascii: bool = False) -> str:
    """One line, at most ``width`` columns of it: ``copying ━━━━━━━━──── 66 %``, or a line being rewritten as it is.

    Args:
        live: what to draw.
        width: columns there are; stay one below the terminal's, lest it goes on to the next line.
        palette: roles ``progress`` and ``muted``.
        only_ascii: for terminals that know nothing else.
    """
    if live.done is None:
        return clipped(live.text, width)
    percent = live.percent
    figure = _figure(live.done) if percent is None else f"{percent:3} %"
    room = width - len(figure) - 1
    size = 0 if percent is None else min(LONGEST_BAR, max(SHORTEST_BAR, room - width_of(live.text) - 1))
    text = clipped(live.text, room - size - 1) if room - size > SHORTEST_BAR else ""
    drawn = _drawn(percent or 0, size, palette, "#-" if only_ascii else "━─") if size and size <= room else ""
    return clipped(" ".join(part for part in (text, drawn, figure.strip() if not drawn else figure) if part), width)


def _drawn(percent: int, size: int, palette: Palette, marks: str) -> str:
    full = size * percent // 100
    return palette.paint("progress", marks[0] * full) + palette.paint("muted", marks[1] * (size - full))


def _figure(done: float) -> str:
    return str(int(done)) if done == math.floor(done) else f"{done:.6g}"


class Steps:
    """Progress where nothing can be drawn: a line for every tenth."""

    def __init__(self) -> None:
        self._last = ""

    def line(self, live: Live) -> str:
        """What is to be said of it, without a line end; ``""`` for nothing, as it is no tenth further.

        Of a line that is being rewritten nothing is said: its last form comes as text.
        """
        if live.done is None:
            return ""
        shown = live.text if live.percent is None else f"{live.text} {live.percent // 10 * 10} %"
        if not shown.strip() or shown == self._last:
            return ""
        self._last = shown
        return f"progress: {shown.strip()}"

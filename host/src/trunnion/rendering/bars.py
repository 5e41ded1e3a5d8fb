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
        if self.done is None or self.total is None or not self.total > 0 or math.isnan(self.done):
            return None
        return 0 if self.done <= 0 else 100 if self.done >= self.total else int(self.done / self.total * 100)


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
    if percent is None:
        figure = _figure(live.done)
        text = clipped(live.text, width - len(figure) - 1)
        return clipped(f"{text} {figure}" if text else figure, width)
    room = width - len(" 100 %")
    wanted = width_of(live.text)
    size = min(LONGEST_BAR, room, max(SHORTEST_BAR, room - wanted - bool(wanted)))
    left = room - size - 1
    parts = [clipped(live.text, left)] if wanted and left >= min(wanted, SHORTEST_BAR) else []
    if size >= SHORTEST_BAR:
        parts.append(_drawn(percent, size, palette, "#-" if only_ascii else "━─"))
    return clipped(" ".join([*parts, f"{percent} %"]), width)


def _drawn(percent: int, size: int, palette: Palette, marks: str) -> str:
    full = size * percent // 100
    return palette.paint("progress", marks[0] * full) + palette.paint("muted", marks[1] * (size - full))


def _figure(done: float) -> str:
    return f"{done:.15g}" if float(done).is_integer() else f"{done:.6g}"


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

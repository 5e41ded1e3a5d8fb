"""The picture: how costs grow, and how far each target is met. Plain SVG, readable in light and in dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from bench.result import Curve, Line

WIDTH, PANEL_WIDTH, PANEL_HEIGHT, BAR = 1000, 490, 240, 17
MARGIN_LEFT, MARGIN_TOP, MARGIN_BOTTOM = 52, 44, 40
COLOURS = ("#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#14b8a6", "#ec4899")
STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#475569}.title{font-weight:600;font-size:13px;fill:#1e293b}"
    ".grid{stroke:#cbd5e1;stroke-width:1}.paper{fill:#ffffff}"
    "@media(prefers-color-scheme:dark){text{fill:#94a3b8}.title{fill:#e2e8f0}.grid{stroke:#334155}.paper{fill:#0f172a}}"
)


def picture(curves: Sequence[Curve], lines: Sequence[Line]) -> str:
    """Panels of growth, then a bar for each target."""
    across = max(1, WIDTH // PANEL_WIDTH)
    rows = -(-len(curves) // across)
    parts = []
    for index, curve in enumerate(curves):
        x, y = index % across * PANEL_WIDTH + 12, index // across * PANEL_HEIGHT + 8
        parts.append(f'<g transform="translate({x},{y})">{_panel(curve)}</g>')
    top = rows * PANEL_HEIGHT + 16
    judged = [line for line in lines if line.score is not None]
    parts.append(f'<g transform="translate(12,{top})">{_bars(judged)}</g>')
    height = top + 44 + BAR * len(judged) + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
        f'<style>{STYLE}</style><rect class="paper" width="{WIDTH}" height="{height}"/>{"".join(parts)}</svg>\n'
    )


def _panel(curve: Curve) -> str:
    """Both axes logarithmic: flat stays flat, linear is a diagonal."""
    points = [point for series in curve.series.values() for point in series]
    if not points:
        return ""
    left, right = _decades([x for x, _ in points])
    low, high = _decades([y for _, y in points])
    width = PANEL_WIDTH - MARGIN_LEFT - 24
    height = PANEL_HEIGHT - MARGIN_TOP - MARGIN_BOTTOM - 14 * ((len(curve.series) + 1) // 2)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - left) / (right - left) * width
        return MARGIN_LEFT + across, MARGIN_TOP + height - (math.log10(y) - low) / (high - low) * height

    parts = [_text(0, 14, curve.title, "title"), _text(0, 32, f"µs of CPU per operation, by {curve.x}")]
    for decade in range(low, high + 1):
        _, y = place(10**left, 10**decade)
        parts.append(_line(MARGIN_LEFT, y, MARGIN_LEFT + width, y))
        parts.append(_text(MARGIN_LEFT - 6, y + 4, _short(10**decade), anchor="end"))
    for decade in range(left, right + 1):
        x, y = place(10**decade, 10**low)
        parts.append(_text(x, y + 15, _short(10**decade), anchor="middle"))
    for index, (name, series) in enumerate(curve.series.items()):
        colour = COLOURS[index % len(COLOURS)]
        marks = [place(x, y) for x, y in series]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in marks)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in marks]
        key_x, key_y = MARGIN_LEFT + index % 2 * 190, MARGIN_TOP + height + 34 + index // 2 * 14
        parts.append(f'<rect x="{key_x}" y="{key_y - 8}" width="8" height="8" fill="{colour}"/>')
        parts.append(_text(key_x + 12, key_y, name))
    return "".join(parts)


def _bars(lines: Sequence[Line]) -> str:
    """Right of the middle line a target is met."""
    start, middle, end = 300, 560, 820
    parts = [_text(0, 14, "Targets: right of the line is met, logarithmic, from a quarter to four times", "title")]
    for index, line in enumerate(lines):
        y = 30 + index * BAR
        score = min(4.0, max(0.25, line.score or 0.25))
        x = middle + (end - middle) * math.log(score) / math.log(4)
        colour = "#10b981" if line.met else "#ef4444"
        parts.append(_text(start - 8, y + 10, f"{line.row}, {line.case}", anchor="end"))
        left, width = min(middle, x), max(1.0, abs(x - middle))
        parts.append(f'<rect x="{left:.1f}" y="{y + 2}" width="{width:.1f}" height="{BAR - 6}" fill="{colour}"/>')
        parts.append(_text(end + 12, y + 10, _verdict(line)))
    parts.append(_line(middle, 26, middle, 30 + BAR * len(lines)))
    return "".join(parts)


def _verdict(line: Line) -> str:
    unit = {"rate": "", "times": "x"}.get(line.kind, f" {line.unit}")
    return f"{line.value:.3g}{unit}, target {'≥' if line.kind == 'rate' else '≤'} {line.target:g}"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values)) + 1e-9), math.ceil(math.log10(max(values)) - 1e-9)
    return low, max(high, low + 1)


def _short(value: float) -> str:
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'

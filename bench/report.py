"""The table as text, and the page with its picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.harness import Effort, Figure
from bench.result import Line, Result

HEADERS = ("row", "case", "ours", "CPU", "ceiling", "CPU", "ratio", "by CPU", "target", "")
LEFT = (0, 1)


def cells(line: Line) -> tuple[str, ...]:
    """One line of the table."""
    return (
        line.row,
        line.case,
        *_timed(line.ours),
        *_timed(line.ceiling),
        _value(line),
        _by_cpu(line),
        _target(line),
        {True: "met", False: "MISSED", None: ""}[line.met],
    )


def table(lines: Iterable[Line]) -> str:
    """All lines in columns, for a terminal."""
    rows = [HEADERS, *(cells(line) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADERS))]
    return "\n".join("  ".join(_pad(row[i], widths[i], i) for i in range(len(HEADERS))).rstrip() for row in rows)


def curves(result: Result) -> str:
    """The points of a row's curves, for a terminal."""
    return "\n".join(
        f"{curve.title}, {name}: " + "  ".join(f"{x:,.0f}: {seconds(y / 1e6)}" for x, y in points)
        for curve in result.curves
        for name, points in curve.series.items()
    )


def page(results: Mapping[str, Result], effort: Effort, machine: Mapping[str, str], date: str, picture: str) -> str:
    """``docs/performance.md``."""
    lines = [line for result in results.values() for line in result.lines]
    judged = [line for line in lines if line.met is not None]
    met = sum(bool(line.met) for line in judged)
    parts = [
        "# Performance",
        "Made by `make bench`; do not edit. Every figure is a ratio measured in one run: ours beside a ceiling, the "
        "same building block with no product logic in the same process, in interleaved rounds. A target that is "
        "missed is shown as missed.",
        f"Taken on {date}, effort `{effort.name}`: medians of {effort.rounds} rounds of at least {effort.seconds:g} s. "
        f"**{met} of {len(judged)} targets met.**",
        _facts(machine),
        f"![How costs grow, and how far each target is met]({picture})",
        "Times are per operation; CPU counts all processes that belong to it. A ratio `0.40` is a share of the "
        "ceiling's rate (more is better), `1.4x` is a multiple of its time (less is better).",
        _markdown(lines),
        "## How costs grow",
        "\n".join(f"- {line}" for result in results.values() for line in curves(result).splitlines()),
        "## How each row is measured",
        *(f"**{row}.** {' '.join(result.notes)}" for row, result in results.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _facts(machine: Mapping[str, str]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in machine.items())])


def _markdown(lines: Sequence[Line]) -> str:
    rule = "|".join("---" if column in LEFT else "--:" for column in range(len(HEADERS)))
    body = [f"| {' | '.join(cells(line))} |" for line in lines]
    return "\n".join([f"| {' | '.join(HEADERS)} |", f"|{rule}|", *body])


def _pad(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column in LEFT or column == len(HEADERS) - 1 else text.rjust(width)


def _timed(figure: Figure | None) -> tuple[str, str]:
    if figure is None:
        return "", ""
    return seconds(figure.median), seconds(figure.cpu_median)


def _value(line: Line) -> str:
    if line.kind == "amount":
        return f"{line.value:.3g} {line.unit}"
    return f"{line.value:.2f}" + ("x" if line.kind == "times" else "")


def _by_cpu(line: Line) -> str:
    if line.ours is None or line.ceiling is None:
        return ""
    over = line.ours.cpu_over(line.ceiling)
    if not over:
        return "-"
    return f"{over:.2f}x" if line.kind == "times" else f"{1 / over:.2f}"


def _target(line: Line) -> str:
    if line.target is None:
        return ""
    return f"≥ {line.target:g}" if line.kind == "rate" else f"≤ {line.target:g}"


def seconds(value: float) -> str:
    """A duration with three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"

"""``python -m bench [--rows a,b] [--quick | --full] [--output DIR]``, or ``make bench ARGS=--full``."""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.chart import picture
from bench.harness import EFFORTS, Effort
from bench.machine import machine
from bench.others import add_others
from bench.report import curves, page, table
from bench.result import Result
from bench.rows import ROWS

PAGE, PICTURE = "performance.md", "performance.svg"


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and write the page; returns 0 whatever the figures are."""
    options = _parser().parse_args(arguments)
    effort = EFFORTS[options.effort]
    rows = _chosen(options.rows)
    facts = machine()
    print(" · ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"effort {effort.name}: {effort.rounds} rounds of at least {effort.seconds:g} s each", flush=True)
    results = {row: _measured(row, effort) for row in rows}
    lines = [line for result in results.values() for line in result.lines]
    print("\n" + table(lines))
    judged = [line for line in lines if line.met is not None]
    print(f"\n{sum(bool(line.met) for line in judged)} of {len(judged)} targets met")
    output = options.output or (Path("docs") if _worth_keeping(effort, rows) else None)
    if output is not None:
        drawn = [curve for result in results.values() for curve in result.curves]
        output.mkdir(parents=True, exist_ok=True)
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        (output / PAGE).write_text(page(results, effort, facts, date, PICTURE), encoding="utf-8")
        (output / PICTURE).write_text(picture(drawn, lines), encoding="utf-8")
        print(f"written: {output / PAGE}, {output / PICTURE}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="Performance beside its ceilings.")
    parser.add_argument("--rows", default="", help=f"only these, by comma: {', '.join(ROWS)}")
    for name, words in (
        ("quick", "a first look, in a minute"),
        ("full", "a million stored runs and events, in half an hour"),
        ("smoke", "only whether every row works; its figures mean nothing"),
    ):
        parser.add_argument(f"--{name}", dest="effort", action="store_const", const=name, help=words)
    parser.add_argument("--output", type=Path, help=f"where {PAGE} and {PICTURE} go; docs after a whole run")
    parser.set_defaults(effort="default")
    return parser


def _chosen(wanted: str) -> list[str]:
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        sys.exit(f"there is no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return names or list(ROWS)


def _measured(row: str, effort: Effort) -> Result:
    started = time.perf_counter()
    result = ROWS[row](effort)
    if effort.name != "smoke":
        add_others(row, effort, result)
    print(f"\n{row} ({time.perf_counter() - started:.0f} s)\n{table(result.lines)}")
    if result.curves:
        print(curves(result))
    sys.stdout.flush()
    return result


def _worth_keeping(effort: Effort, rows: Sequence[str]) -> bool:
    return effort.name in ("default", "full") and list(rows) == list(ROWS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

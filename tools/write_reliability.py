"""Write docs/reliability.md: the rows of the fault matrix, and what the last run of each showed.

``make faults`` runs the rows, keeps their results in docs/reliability.json and calls this; ``make faults ROW=a1`` does
so for one row. The rows themselves are in tests/faults/matrix.toml; a test belongs to the row it is named after.
"""

from __future__ import annotations

import ast
import json
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "faults"))

from figures import ROW, kind_of  # noqa: E402 - it lies with the tests

MATRIX = ROOT / "tests" / "faults" / "matrix.toml"
RESULTS = ROOT / "docs" / "reliability.json"
PAGE = ROOT / "docs" / "reliability.md"

PARTS = {
    "a": "The host crashes, starts again, or is there twice",
    "b": "The disk",
    "c": "Clocks",
    "d": "The machine's limits",
    "e": "Programs it owns",
    "f": "What drivers say",
    "g": "Events and subscribers",
    "h": "Plugins",
    "i": "Commands and arguments",
    "j": "Certificates and remote calls",
    "k": "The web console",
    "l": "Files and packages",
    "m": "JSON, schemas, configuration",
    "n": "Logs, terminals, secrets",
    "o": "The audit record",
    "p": "Schedules",
    "q": "Terminals and agents",
}
KINDS = ("fault", "absent", "disabled")
HOST = "host"
HEAD = "| row | | what is done | what is expected | result | measured | run |"
TOTALS = "| | rows | hold | failed | not run or skipped | missing or planned | come with other parts |"

INTRODUCTION = """\
# Reliability

What is done to a host on purpose, what is expected of it then, and what was measured. Each row is a test; this page is
written by `make faults` from the results of its last run, kept in [reliability.json](reliability.json).

A row *holds* when every test named after it passed: with the fault; once more with the fault absent, so that the check
is known to be able to pass; and once with the defence disabled, so that it is known to be able to fail. A row without
one of these says so. Processes, descriptors, sockets, threads and temporary files are counted before and after. What
clients were told is judged offline by a program that imports nothing of the host. P0 blocks a release, P1 comes before
the first outside user, P2 is planned.

The command in the last column repeats a row with the seed and the rounds of its last run. `ROUNDS` is how often the
fault of a row is repeated where it is repeated; CI runs every row with few."""


def row_tests(folder: Path = ROOT / "tests") -> dict[str, dict[str, list[str]]]:
    """The tests there are: by row and kind (fault, absent, disabled), as ``file::function``."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: {kind: [] for kind in KINDS})
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (named := ROW.match(node.name)):
                name = f"{path.relative_to(folder.parent).as_posix()}::{node.name}"
                found[named[1]][kind_of(node.name)].append(name)
    return dict(found)


def matrix() -> dict[str, dict[str, str]]:
    """The rows in the order of the page."""
    return tomllib.loads(MATRIX.read_text(encoding="utf-8"))


def page(rows: dict[str, dict[str, str]], results: dict[str, Any], tests: dict[str, dict[str, list[str]]]) -> str:
    """The whole page.

    Args:
        rows: the matrix.
        results: what ``--reliability FILE`` wrote; ``{}`` before the first run.
        tests: the tests there are; a result of one that is gone is left out.
    """
    known = {name for kinds in tests.values() for names in kinds.values() for name in names}
    measured: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, result in results.get("tests", {}).items():
        if name.partition("[")[0] in known:
            measured[result["row"]].append(result)
    states = {row: state(facts, tests.get(row), measured[row]) for row, facts in rows.items()}
    parts = [INTRODUCTION, _machine(results), _summary(rows, states)]
    for letter, title in PARTS.items():
        lines = [
            f"## {letter.upper()}. {title}",
            "",
            "| row | | what is done | what is expected | result | measured | run |",
        ]
        lines.append("|---|---|---|---|---|---|---|")
        for row, facts in rows.items():
            if row[0] == letter:
                lines.append(_line(row, facts, states[row], measured[row]))
        parts.append("\n".join(lines))
    return "\n\n".join(part for part in parts if part) + "\n"


def state(facts: dict[str, str], tests: dict[str, list[str]] | None, measured: list[dict[str, Any]]) -> str:
    """What is known of a row, in one word or a few."""
    if tests is None:
        owner = facts.get("part", HOST)
        if owner != HOST:
            return f"comes with {owner}"
        return "missing" if facts["priority"] == "P0" else "planned"
    outcomes = {result["outcome"] for result in measured if result["kind"] == "fault"}
    if any(result["outcome"] == "failed" for result in measured):
        return "**failed**"
    if "passed" in outcomes:
        return "holds"
    return "skipped" if outcomes else "not run yet"


def _machine(results: dict[str, Any]) -> str:
    machine = results.get("machine")
    return machine and f"Measured on {machine['cores']} cores, {machine['system']}, Python {machine['python']}."


def _summary(rows: dict[str, dict[str, str]], states: dict[str, str]) -> str:
    lines = [TOTALS, "|---|---|---|---|---|---|---|"]
    groups = (("holds",), ("**failed**",), ("not run yet", "skipped"), ("missing", "planned"))
    for priority in ("P0", "P1", "P2"):
        own = [states[row] for row, facts in rows.items() if facts["priority"] == priority]
        counts = [sum(state in group for state in own) for group in groups]
        lines.append(
            f"| priority {priority} | {len(own)} | " + " | ".join(map(str, [*counts, len(own) - sum(counts)])) + " |"
        )
    return "\n".join(lines)


def _line(row: str, facts: dict[str, str], now: str, measured: list[dict[str, Any]]) -> str:
    notes = [facts[name] for name in ("later",) if name in facts]
    cells = [row.upper(), facts["priority"], facts["fault"], facts["expected"], now]
    cells += ["; ".join([*figures(measured), *notes, *_controls(facts, measured)]), _run(row, measured)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def figures(measured: Iterable[dict[str, Any]]) -> list[str]:
    """The figures of the tests with the fault, one text for each name; several numbers become a range."""
    values: dict[tuple[str, str], list[str | float]] = defaultdict(list)
    for result in measured:
        if result["kind"] == "fault":
            for said in result["figures"]:
                values[said["name"], said["unit"]].append(said["value"])
    return [f"{name} {_span(found)}{' ' * bool(unit)}{unit}" for (name, unit), found in values.items()]


def _span(found: list[str | float]) -> str:
    if all(isinstance(value, int | float) for value in found) and len(set(found)) > 1:
        return f"{min(found):,} to {max(found):,}"  # type: ignore[type-var]
    return ", ".join(dict.fromkeys(f"{value:,}" if isinstance(value, int | float) else value for value in found))


def _controls(facts: dict[str, str], measured: list[dict[str, Any]]) -> list[str]:
    """What the runs with the fault absent and with the defence disabled showed, or why there are none."""
    if not measured:
        return []
    found = {result["kind"] for result in measured if result["outcome"] == "passed"}
    texts = {"absent": ("passes with the fault absent", "no run with the fault absent")}
    texts["disabled"] = ("found with the defence disabled", "no run with the defence disabled")
    return [facts.get(kind, no) if kind not in found else yes for kind, (yes, no) in texts.items()]


def _run(row: str, measured: list[dict[str, Any]]) -> str:
    """When, how often and how to do it again."""
    if not measured:
        return ""
    last = max(measured, key=lambda result: str(result["date"]))
    again = f"make faults ROW={row} SEED={last['seed']} ROUNDS={last['rounds']}"
    reasons = sorted({result["reason"] for result in measured if "reason" in result})
    return f"{last['date']}, {len(measured)} tests: `{again}`" + "".join(f"; skipped: {reason}" for reason in reasons)


def main() -> None:
    """Write the page from the results there are."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    PAGE.write_text(page(matrix(), results, row_tests()), encoding="utf-8")


if __name__ == "__main__":
    main()

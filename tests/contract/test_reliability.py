"""The page of fault rows: complete in rows, each with its tests, and made of what really ran."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
CONCERNED = set("abcdeghijmnoq")
"""The parts of the matrix whose rows concern the host, scripts, the shell, gRPC and the audit."""


def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_reliability", ROOT / "tools" / "write_reliability.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRITER = writer()
ROWS = WRITER.matrix()
TESTS = WRITER.row_tests()
HOST_P0 = [row for row, facts in ROWS.items() if facts["priority"] == "P0" and facts.get("part", "host") == "host"]


def table_lines(page: str) -> list[list[str]]:
    lines = [line for line in page.splitlines() if re.match(r"\| [A-Q]\d+ \|", line)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_page_lists_exactly_the_rows() -> None:
    lines = table_lines(PAGE.read_text(encoding="utf-8"))
    assert [line[0].lower() for line in lines] == list(ROWS)
    assert {len(line) for line in lines} == {7}


def test_a_row_is_described() -> None:
    known = {"fault", "expected", "priority", "part", "absent", "disabled", "later"}
    for row, facts in ROWS.items():
        assert re.fullmatch(r"[a-q]\d+", row)
        assert {"fault", "expected", "priority"} <= facts.keys() <= known, row
        assert facts["priority"] in {"P0", "P1", "P2"}, row
    assert {row[0] for row in HOST_P0} == CONCERNED


def test_every_test_named_after_a_row_has_its_row() -> None:
    assert TESTS.keys() - ROWS.keys() == set()


@pytest.mark.parametrize("row", HOST_P0)
def test_a_row_that_blocks_a_release_is_tested_three_ways(row: str) -> None:
    """With the fault, with the fault absent, with the defence disabled; or the table says why not."""
    facts, tests = ROWS[row], TESTS.get(row)
    if tests is None:
        assert facts.get("later"), f"{row} has no test, and the table does not say why"
        return
    assert tests["fault"], tests
    for kind in ("absent", "disabled"):
        assert tests[kind] or facts.get(kind), f"{row}: no test {kind}; name one ..._without_the_fault or _the_defence"


def result(kind: str = "fault", outcome: str = "passed", **more: object) -> dict[str, object]:
    base = {"row": "a1", "kind": kind, "outcome": outcome, "seconds": 1.0, "figures": []}
    return {**base, "date": "2026-01-02", "seed": "c0ffee", "rounds": 7, "commit": "abc", **more}


def line_of(**results: dict[str, object]) -> list[str]:
    rows = {"a1": {"fault": "this | that", "expected": "both", "priority": "P0"}}
    tests = {"a1": {"fault": ["t::test_a1_x"], "absent": ["t::test_a1_without_the_fault"], "disabled": []}}
    names = {
        "x": "t::test_a1_x[1]",
        "y": "t::test_a1_x[2]",
        "absent": "t::test_a1_without_the_fault",
        "gone": "t::gone",
    }
    (line,) = table_lines(WRITER.page(rows, {"tests": {names[k]: v for k, v in results.items()}}, tests))
    return line


def said(value: object) -> list[dict[str, object]]:
    return [{"name": "took", "value": value, "unit": "s"}]


def test_what_is_shown_of_a_row() -> None:
    line = line_of(x=result(figures=said(1.5)), y=result(figures=said(3)), absent=result("absent", figures=said(9)))
    assert line[2] == "this \\| that"
    assert line[4] == "holds"
    assert line[5] == "took 1.5 to 3 s; passes with the fault absent; no run with the defence disabled"
    assert line[6] == "2026-01-02, 3 tests: `make faults ROW=a1 SEED=c0ffee ROUNDS=7`"


def test_nothing_is_hidden() -> None:
    assert line_of(x=result(), y=result(outcome="failed"))[4] == "**failed**"
    assert line_of(x=result(), absent=result("absent", "failed"))[4] == "**failed**"
    assert line_of(absent=result("absent"))[4] == "not run yet"
    assert line_of(gone=result())[4] == "not run yet"
    skipped = line_of(x=result(outcome="skipped", reason="not root"))
    assert skipped[4] == "skipped"
    assert "not root" in skipped[6]
    assert WRITER.state({"priority": "P0"}, None, []) == "missing"
    assert WRITER.state({"priority": "P0", "part": "rpc"}, None, []) == "comes with rpc"


EXAMPLE = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
def test_a1_good(figure, rounds, n):
    figure("rounds", rounds + n, "times")

def test_a1_without_the_fault():
    pass

def test_b2_without_the_defence():
    assert False

def test_b3_elsewhere():
    pytest.skip("no such system")

def test_of_no_row(figure):
    figure("said", "aside")
"""


def record(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "PYTEST"))}
    places = [str(ROOT / "tests" / "faults"), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [
            sys.executable,
            "-B",
            "-m",
            "pytest",
            "-p",
            "figures",
            "--reliability",
            "results.json",
            *args,
            "--rootdir",
            ".",
        ],
        cwd=folder,
        env={**environ, "PYTHONPATH": os.pathsep.join(filter(None, places)), "TRUNNION_SEED": "5eed", "ROUNDS": "3"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["in one process", "by workers"])
def test_a_run_records_what_its_rows_did(tmp_path: Path, workers: tuple[str, ...]) -> None:
    if workers:
        pytest.importorskip("xdist", reason="make test needs it, plain pytest does not")
    (tmp_path / "test_rows.py").write_text(EXAMPLE)
    done = record(tmp_path, *workers)
    assert "TRUNNION_SEED=5eed" in done.stdout.partition("test_b2_without_the_defence")[2], done.stdout + done.stderr
    tests = json.loads((tmp_path / "results.json").read_text())["tests"]
    short = {name.partition("::")[2]: (test["row"], test["kind"], test["outcome"]) for name, test in tests.items()}
    assert short == {
        "test_a1_good[1]": ("a1", "fault", "passed"),
        "test_a1_good[2]": ("a1", "fault", "passed"),
        "test_a1_without_the_fault": ("a1", "absent", "passed"),
        "test_b2_without_the_defence": ("b2", "disabled", "failed"),
        "test_b3_elsewhere": ("b3", "fault", "skipped"),
    }
    assert tests["test_rows.py::test_a1_good[2]"]["figures"] == [{"name": "rounds", "value": 5, "unit": "times"}]
    assert {(test["seed"], test["rounds"]) for test in tests.values()} == {("5eed", 3)}
    assert tests["test_rows.py::test_b3_elsewhere"]["reason"] == "Skipped: no such system"


def test_a_row_measured_again_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "test_rows.py").write_text(EXAMPLE)
    record(tmp_path)
    (tmp_path / "test_rows.py").write_text(EXAMPLE.replace("assert False", "pass"))
    done = record(tmp_path, "--row", "b2")
    assert "1 passed, 5 deselected" in done.stdout
    tests = json.loads((tmp_path / "results.json").read_text())["tests"]
    assert len(tests) == 5
    assert tests["test_rows.py::test_b2_without_the_defence"]["outcome"] == "passed"
    assert "3 passed, 3 deselected" in record(tmp_path, "--row", "a").stdout

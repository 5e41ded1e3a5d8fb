"""What the rows of the fault matrix measured: a fixture to say it with, and a file of all that was said.

A test named after its row (``test_a1_...``) is recorded with its outcome, its time and the figures it gave:

    def test_a1_kill_at_random_instants(ground, rounds, figure):
        ...
        figure("lost acknowledged runs", 0)

``--reliability FILE`` puts the results of a run into FILE; what FILE holds of other tests stays, so that one row can be
measured again. ``tools/write_reliability.py`` makes the page of it. ``--row a1,b`` chooses a row and all rows of a
part; ``--row all`` all rows, in whatever folder, and what else is in those of faults and doors.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import random
import re
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"test_([a-q]\d+)_(\w+)")
DEFAULT_ROUNDS = 20

# Read, or made, before the environment is cleaned of our own variables for the tests; one seed for all folders.
SEED = os.environ.setdefault("TRUNNION_SEED", f"{random.SystemRandom().getrandbits(32):08x}")
ROUNDS = int(os.environ.get("TRUNNION_FAULT_ROUNDS") or os.environ.get("ROUNDS") or DEFAULT_ROUNDS)

Value = str | int | float


def kind_of(name: str) -> str:
    """Which of the three runs of a row a test is: the fault, the fault absent, the defence disabled."""
    if "without_the_fault" in name:
        return "absent"
    return "disabled" if "without_the_defence" in name else "fault"


class Results:
    """The pytest plugin that collects what row tests did.

    Attributes:
        tests: by node id, what will be written of a test.
    """

    def __init__(self, file: Path | None, *, seed: str = SEED, rounds: int = ROUNDS) -> None:
        self.file = file
        self.seed = seed
        self.rounds = rounds
        self.tests: dict[str, dict[str, object]] = {}

    def of(self, node_id: str) -> dict[str, object] | None:
        """The record of a row test; None for any other."""
        named = ROW.match(node_id.rpartition("::")[2])
        if named is None:
            return None
        fresh = {"row": named[1], "kind": kind_of(named[0]), "outcome": "passed", "seconds": 0.0, "figures": []}
        return self.tests.setdefault(node_id, fresh)

    def pytest_report_header(self) -> str:
        return f"faults: TRUNNION_SEED={self.seed} ROUNDS={self.rounds}"

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed:
            report.sections.append(("seed", f"TRUNNION_SEED={self.seed}"))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        record = self.of(report.nodeid)
        if record is None:
            return
        record["figures"] = [value for name, value in report.user_properties if name == "figure"]
        record["seconds"] = round(float(record["seconds"]) + report.duration, 3)  # type: ignore[arg-type]
        if report.failed:
            record["outcome"] = "failed"
        elif report.skipped and not hasattr(report, "wasxfail"):
            record["outcome"] = "skipped"
            record["reason"] = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)

    def pytest_sessionfinish(self) -> None:
        if self.file is None or not self.tests:
            return
        about = {"date": datetime.datetime.now(datetime.UTC).date().isoformat(), "seed": self.seed}
        about |= {"rounds": self.rounds, "commit": commit()}  # type: ignore[dict-item]
        before = json.loads(self.file.read_text())["tests"] if self.file.exists() else {}
        tests = {**before, **{name: {**record, **about} for name, record in self.tests.items()}}
        whole = {"machine": machine(), "tests": dict(sorted(tests.items()))}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(whole, indent=1) + "\n")


def commit() -> str:
    """The commit the tests were taken from; empty where there is no git."""
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, check=False, capture_output=True, text=True
        )
    except FileNotFoundError:
        return ""
    return asked.stdout.strip()


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    cores = len(os.sched_getaffinity(0))
    return {"system": f"Linux {platform.release()}", "python": platform.python_version(), "cores": cores}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--row", metavar="LIST", default="", help="only the tests of these rows of the fault matrix")
    parser.addoption("--reliability", metavar="FILE", type=Path, help="write what the rows of the matrix measured")


def pytest_configure(config: pytest.Config) -> None:
    worker = hasattr(config, "workerinput")  # what it finds out is written by whoever started it
    config.pluginmanager.register(Results(None if worker else config.getoption("reliability")), "reliability")


def chosen(item: pytest.Item, rows: str) -> bool:
    """Whether a test belongs to the rows asked for."""
    named = ROW.match(item.name)
    if rows == "all":
        return named is not None or {"faults", "doors"} & set(item.path.parts) != set()
    return named is not None and bool({named[1], named[1][0]} & set(rows.lower().split(",")))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if rows := config.getoption("row"):
        others = [item for item in items if not chosen(item, rows)]
        items[:] = [item for item in items if chosen(item, rows)]
        config.hook.pytest_deselected(items=others)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[..., None]:
    """``figure(name, value, unit="")``: what this row measured, for the table of results."""

    def say(name: str, value: Value, unit: str = "") -> None:
        print(f"figure: {name}: {value}{' ' * bool(unit)}{unit}")
        request.node.user_properties.append(("figure", {"name": name, "value": value, "unit": unit}))

    return say


@pytest.fixture
def rounds() -> int:
    """How often the main row is repeated; others scale with it."""
    return ROUNDS

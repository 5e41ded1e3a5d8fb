"""Every row of the benchmark works and brings figures; what the figures are is for ``make bench``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench.rows import ROWS  # noqa: E402

from bench import harness, report, result  # noqa: E402

SECONDS = 60
CURVES = {"Followers of one stream", "Runs stored", "Events of one run", "Commands registered"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What one whole run with tiny counts prints, and where it wrote."""
    folder = tmp_path_factory.mktemp("bench")
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--smoke", "--output", str(folder)],
        capture_output=True, text=True, timeout=SECONDS, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, folder


def test_every_row_brings_a_figure(written: tuple[str, Path]) -> None:
    _, table = written[0].rsplit("\nrow ", 1)
    for row in ROWS:
        lines = [line for line in table.splitlines() if line.startswith(row + " ")]
        assert lines, row
        assert any("met" in line or "MISSED" in line for line in lines), row


def test_the_page_shows_every_row_and_no_path(written: tuple[str, Path]) -> None:
    printed, folder = written
    page = (folder / "performance.md").read_text(encoding="utf-8")
    assert all(f"**{row}.**" in page for row in ROWS)
    assert "MISSED" in page or "MISSED" not in printed
    assert str(ROOT) not in page
    assert str(Path.home()) not in page


def test_the_picture_draws_every_curve(written: tuple[str, Path]) -> None:
    picture = ElementTree.parse(written[1] / "performance.svg").getroot()
    texts = {text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert texts >= CURVES
    for line in picture.iter("{http://www.w3.org/2000/svg}polyline"):
        assert len(line.attrib["points"].split()) > 1


def test_a_curve_that_does_not_flatten_is_seen() -> None:
    linear = [(10.0, 2.0), (100.0, 3.0), (1000.0, 30.0)]
    curve = result.Curve(title="t", x="n", series={"linear": linear, "flat": [(10.0, 2.0), (100.0, 2.0)]})
    assert curve.last_step("linear") == 10.0
    assert curve.last_step("flat") == 1.0
    assert "1,000: 30 µs" in report.curves(result.Result(curves=[curve]))


def figure(*wall: float) -> harness.Figure:
    return harness.Figure(wall, wall)


def test_a_ratio_is_taken_round_by_round() -> None:
    # The machine was five times slower in the second round and hit both alike.
    line = result.rate("r", "c", "run", (figure(2.0, 10.0, 2.0), figure(1.0, 5.0, 1.0)), at_least=0.5)
    assert line.value == 0.5
    assert line.met


def test_a_missed_target_is_printed_as_missed() -> None:
    slow = result.rate("slow", "c", "run", (figure(4.0), figure(1.0)), at_least=0.5)
    large = result.amount("large", "c", 9.0, "MB", at_most=8.0)
    beside = result.amount("beside", "c", 9.0, "MB")
    lines = report.table([slow, large, beside]).splitlines()
    assert [line.endswith("MISSED") for line in lines] == [False, True, True, False]
    assert not lines[3].endswith("met")


async def test_a_round_goes_on_until_it_is_long_enough() -> None:
    done = 0

    async def work(count: int) -> None:
        nonlocal done
        done += count

    wall, _ = await harness._measure(work, 1, 0.01)
    assert done > 1
    assert wall * done >= 0.01


async def test_contenders_take_turns() -> None:
    order: list[str] = []

    def contender(name: str) -> harness.Contender:
        async def work(count: int) -> None:
            sum(range(count))

        return harness.Contender(work, lambda: order.append(name))

    figures = await harness.race([contender("a"), contender("b")], harness.Effort(name="test", rounds=4, seconds=0.002))
    assert [len(figure.wall) for figure in figures] == [4, 4]
    assert "".join(order[-8:]) == "abbaabba"


async def test_all_operations_are_done_however_many_at_once() -> None:
    at_work = most = total = 0

    async def operation() -> None:
        nonlocal at_work, most, total
        at_work += 1
        most = max(most, at_work)
        await harness.asyncio.sleep(0)
        at_work -= 1
        total += 1

    await harness.in_flight(operation, 7)(100)
    assert (most, total) == (7, 100)

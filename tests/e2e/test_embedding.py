"""The embedding example, as its README says: a program, a terminal, and another program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "embedding"
WAREHOUSE = (EXAMPLE / "warehouse.py").read_text(encoding="utf-8")


@pytest.fixture
def warehouse(tmp_path):
    """The program at work, in a folder of its own."""
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "trunnion.toml").write_text("this is nobody's configuration")
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLE / "warehouse.py")],
        cwd=folder,
        env={**os.environ, "TRUNNION_PLUGINS": "no-such-plugin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert process.stdout.readline() == "bolts on the shelf: 3\n", process.stderr.read()
    yield folder, process
    process.kill()
    process.communicate()


def test_a_terminal_and_another_program_reach_it(place, warehouse) -> None:
    folder, process = warehouse
    data = str(folder / "data")
    assert place.run("--data-dir", data, "run", "stock.take", "bolt", "2").out == "1\n"
    failed = place.run("--data-dir", data, "run", "stock.take", "bolt", "2")
    assert (failed.code, "1 of bolt are left, not 2" in failed.err) == (1, True)
    api = subprocess.run(
        [sys.executable, str(EXAMPLE / "api.py")], cwd=folder, capture_output=True, text=True, check=True
    )
    assert api.stdout == "{'bolt': 1, 'nut': 2}\n"
    runs = place.json("--data-dir", data, "runs", "list", "--json")
    assert {(run["command_id"], run["source"]) for run in runs["items"]} == {
        ("stock.add", "system:app"), ("stock.take", "cli"), ("stock.add", "cli"), ("stock.shelf", "cli"),
    }  # fmt: skip
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == -signal.SIGINT
    assert not (folder / "data/run/host.sock").exists()


def test_it_is_short_and_the_guide_shows_it_whole() -> None:
    assert len([line for line in WAREHOUSE.splitlines() if line.strip()]) <= 40
    assert f"```python\n{WAREHOUSE}```" in (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")

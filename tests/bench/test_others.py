"""Peers are measured apart; one that cannot be says why, and the row keeps its own figures."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.result import Result

from bench import harness, others

SCRIPT = """
from kit import attempts, told
def good(name):
    told(name, "64 in flight", 0.0025)
def bad(name):
    raise ImportError("no module of that name")
attempts({"good": good, "bad": bad})
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that is there, and a folder for scripts."""
    environment, scripts = tmp_path / "env", tmp_path / "scripts"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(sys.executable)
    digest = hashlib.sha256(others.REQUIREMENTS.read_bytes()).hexdigest()[:16]
    (environment / f"ready-{digest}").touch()
    scripts.mkdir()
    (scripts / "kit.py").write_text((others.SCRIPTS / "kit.py").read_text())
    monkeypatch.setattr(others, "ENVIRONMENT", environment)
    monkeypatch.setattr(others, "SCRIPTS", scripts)
    return scripts


def test_figures_and_reasons_stand_beside_the_row(made: Path) -> None:
    (made / "run.py").write_text(SCRIPT)
    result = Result()
    others.add_others("perf-run", harness.EFFORTS["smoke"], result)
    assert [(line.case, line.value, line.unit, line.met) for line in result.lines] == [
        ("peer: good, 64 in flight", 2.5, "ms", None)
    ]
    assert result.notes == ["bad is not available: ImportError: no module of that name."]


def test_a_script_that_breaks_is_named_without_the_places_of_this_machine(made: Path) -> None:
    (made / "run.py").write_text("raise OSError('cannot open /some/where/else.db')")
    result = Result()
    others.add_others("perf-run", harness.EFFORTS["smoke"], result)
    assert result.notes == ["run.py is not available: OSError: cannot open else.db."]


def test_an_environment_that_cannot_be_made_is_a_note(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "ENVIRONMENT", made / "file" / "env")
    (made / "file").write_text("in the way")
    result = Result()
    others.add_others("perf-validate", harness.EFFORTS["smoke"], result)
    (note,) = result.notes
    assert note.startswith("Peers are not available: ")
    assert not result.lines


def test_rows_without_peers_ask_nobody() -> None:
    result = Result()
    others.add_others("perf-memory", harness.EFFORTS["smoke"], result)
    assert (result.lines, result.notes) == ([], [])


def test_every_script_and_every_pin_is_there() -> None:
    for script in others.SCRIPT_OF.values():
        assert (others.SCRIPTS / f"{script}.py").exists()
    pins = [line for line in others.REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    assert pins == sorted(pins)
    assert all("==" in pin for pin in pins)

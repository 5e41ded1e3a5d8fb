"""``trunnion --version`` and ``--help`` import no plugin and nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "anyio",
    "asyncio",
    "cryptography",
    "hypothesis",
    "importlib_metadata",
    "jsonschema",
    "jsonschema_rs",
    "pluggy",
    "referencing",
    "sqlite3",
    "trunnion_scripts",
    "trunnion.kernel",
    "trunnion.plugins",
    "trunnion.store",
    "uvloop",
}

PROBE = """
import sys
sys.argv = ["trunnion", sys.argv[1]]
from trunnion.launcher.main import main
try:
    main()
finally:
    sys.stdout.flush()
    sys.stderr.write("\\n".join(sorted(sys.modules)))
"""


def imported(option: str, cwd: Path) -> tuple[str, set[str]]:
    """What ``trunnion OPTION`` prints, and the modules it imported."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, option],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=cwd,
        env=environ,
        check=True,
    )
    return done.stdout, set(done.stderr.split())


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_light_options_import_nothing_heavy(option: str, tmp_path: Path) -> None:
    printed, modules = imported(option, tmp_path)
    assert "trunnion" in printed.lower()
    assert "trunnion.launcher.main" in modules
    assert not modules & HEAVY


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_light_options_work_beside_a_broken_configuration(option: str, tmp_path: Path) -> None:
    (tmp_path / "trunnion.toml").write_text("this is not TOML")
    assert imported(option, tmp_path)[0]

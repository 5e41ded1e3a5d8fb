"""``--version`` and ``--help`` import no plugin and nothing heavy, ``up`` nothing it does not need."""

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
    "google.protobuf",
    "grpc",
    "hypothesis",
    "importlib_metadata",
    "jsonschema",
    "jsonschema_rs",
    "pluggy",
    "prompt_toolkit",
    "referencing",
    "sqlite3",
    "trunnion_scripts",
    "trunnion_tty",
    "trunnion.kernel",
    "trunnion.plugins",
    "trunnion.store",
    "uvloop",
}

PROBE = """
import sys
sys.argv[0] = "trunnion"
from trunnion.launcher.main import main
try:
    main()
finally:
    sys.stdout.flush()
    sys.stderr.write("\\n".join(sorted(sys.modules)))
"""


def imported(words: str, cwd: Path) -> tuple[str, set[str]]:
    """What ``trunnion WORDS`` prints, and the modules it imported."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *words.split()],
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


def test_the_subcommand_of_a_plugin_is_found_without_the_host(tmp_path: Path) -> None:
    """A shell has to be there at once; of all plugins only what has their hooks is imported."""
    printed, modules = imported("shell --help", tmp_path)
    assert "trunnion shell" in printed
    assert {"trunnion_tty.command", "trunnion_scripts.plugin"} <= modules
    assert not modules & HEAVY - {"pluggy", "trunnion.plugins", "trunnion_scripts", "trunnion_tty"}


UNUSED = {
    "anyio.from_thread",
    "argon2",
    "cryptography",
    "email.message",
    "google.protobuf",
    "grpc",
    "hypothesis",
    "importlib_metadata",
    "jsonschema",
    "prompt_toolkit",
    "referencing",
    "trunnion.testing",
    "trunnion_tty.reading",
    "zipfile",
}
"""What a host that is up has not needed so far: each costs a start more than the store does, or is only for tests."""

# Without the audit, which signs what it writes and so needs what it needs.
UP_PROBE = """
import os, signal, sys
from trunnion.launcher import main, serving
tune = serving.tune_collector
def is_up():
    tune()
    os.kill(os.getpid(), signal.SIGTERM)
serving.tune_collector = is_up
sys.argv = ["trunnion", "--data-dir", sys.argv[1], "--without", "audit", "up"]
try:
    main.main()
finally:
    sys.stderr.write("\\n".join(["", "modules", *sorted(sys.modules)]))
"""


def test_a_host_that_is_up_has_imported_nothing_it_does_not_need(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", UP_PROBE, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=environ,
        check=True,
    )
    modules = set(done.stderr.rpartition("\nmodules\n")[2].split())
    assert "is up" in done.stdout
    assert {"trunnion.kernel.core", "trunnion_tty.plugin"} <= modules
    assert not modules & UNUSED

"""What a user installs: wheels of every distribution, in environments with nothing else in them."""

from __future__ import annotations

import email
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")
PROJECTS = [ROOT, ROOT / "host", *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


def call(*command: str | Path, cwd: Path) -> str:
    """Run a program without the developer's Python settings; its output, or an error that shows it."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=80, cwd=cwd, env=environ, check=False
    )
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of each distribution; the checkout is only read."""
    folder = tmp_path_factory.mktemp("wheels")
    for project in PROJECTS:
        call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=project)
    return folder


def environment(folder: Path, wheels: Path, requirement: str) -> Path:
    """A fresh environment with one requirement and what it needs; returns its ``bin``."""
    python = folder / "bin" / "python"
    pins = folder.with_name("pins.txt")
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins.write_text("\n".join(line.rstrip(" \\") for line in pinned if not line.lstrip().startswith("--hash")))
    what = ("--find-links", wheels, "--constraint", pins, requirement)
    if UV.exists():
        call(UV, "venv", "--quiet", "--python", sys.executable, folder, cwd=folder.parent)
        call(UV, "pip", "install", "--quiet", "--python", python, *what, cwd=folder.parent)
    else:
        call(sys.executable, "-m", "venv", folder, cwd=folder.parent)
        call(python, "-m", "pip", "install", "--quiet", *what, cwd=folder.parent)
    return folder / "bin"


def test_the_wheels_carry_one_version_and_what_belongs_to_them(wheels: Path) -> None:
    versions = set()
    for wheel in wheels.iterdir():
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
            fields = email.message_from_bytes(archive.read(metadata))
        versions.add(fields["Version"])
        assert fields["License-Expression"] == "MIT"
        assert not [name for name in names if "test" in Path(name).parts[0] or name.endswith(".pyc")]
        if fields["Name"] == "trunnion-host":
            assert "trunnion/py.typed" in names
        if fields["Name"] == "trunnion":
            assert all(".dist-info/" in name for name in names)
    assert len(list(wheels.iterdir())) == len(PROJECTS)
    assert len(versions) == 1


@pytest.mark.parametrize(
    ("requirement", "plugins"),
    [("trunnion-host", set()), ("trunnion[scripts]", {"scripts"}), ("trunnion[all]", {"scripts"})],
    ids=["host alone", "with scripts", "all"],
)
def test_an_installation_runs_and_knows_its_plugins(
    tmp_path: Path, wheels: Path, requirement: str, plugins: set[str]
) -> None:
    programs = environment(tmp_path / "env", wheels, requirement)
    version = next(wheels.glob("trunnion_host-*")).name.split("-")[1]
    assert version in call(programs / "trunnion", "--version", cwd=tmp_path)
    listed = call(programs / "trunnion", "--data-dir", tmp_path / "data", "plugins", "--json", cwd=tmp_path)
    records = json.loads(listed)
    assert {record["id"]: record["state"] for record in records} == dict.fromkeys(plugins, "loaded")
    assert {record["version"] for record in records} <= {version}

"""Wheels of this repository, and environments with nothing else in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def build(project: Path, folder: Path) -> None:
    """Build the wheel of one distribution; its own folder is only read."""
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=project)


def environment(folder: Path, wheels: Path, *requirements: str) -> Path:
    """A fresh environment with some requirements and what they need; returns its ``bin``."""
    if UV.exists():
        call(UV, "venv", "--quiet", "--python", sys.executable, folder, cwd=folder.parent)
    else:
        call(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    install(folder / "bin", wheels, *requirements)
    return folder / "bin"


def install(programs: Path, wheels: Path, *requirements: str | Path) -> None:
    """Put more into an environment: wheels, or by name what is among ``wheels`` or pinned."""
    python, folder = programs / "python", programs.parent
    pins = folder.with_name("pins.txt")
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins.write_text("\n".join(line.rstrip(" \\") for line in pinned if not line.lstrip().startswith("--hash")))
    what = ("--find-links", wheels, "--constraint", pins, *requirements)
    if UV.exists():
        call(UV, "pip", "install", "--quiet", "--python", python, *what, cwd=folder.parent)
    else:
        call(python, "-m", "pip", "install", "--quiet", *what, cwd=folder.parent)

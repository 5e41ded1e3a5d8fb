"""Others, in an environment of their own: made when it is needed, measured in processes of their own, shown beside.

What they need is pinned in ``bench/peers.txt`` and installed into ``.bench/``; each script in ``bench/peers/`` prints a
line of JSON for each figure. One that cannot be made or measured is named with the reason.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from bench.harness import Effort
from bench.result import Line, Result, amount
from bench.rows import validate

HERE = Path(__file__).parent
REQUIREMENTS, SCRIPTS = HERE / "peers.txt", HERE / "peers"
ENVIRONMENT = HERE.parent / ".bench"
PATIENCE = 600.0
SCRIPT_OF: Mapping[str, str] = {
    "perf-run": "run",
    "perf-run-durable": "durable",
    "perf-fanout": "fanout",
    "perf-validate": "validate",
}
"""Rows that have peers, and the script that measures them."""


class Told(msgspec.Struct, frozen=True):
    """What a script says of a peer: seconds of one operation, or why there is no figure."""

    peer: str
    case: str = ""
    seconds: float = 0.0
    error: str = ""


def add_others(row: str, effort: Effort, result: Result) -> None:
    """Put the figures of a row's peers beside ours."""
    script = SCRIPT_OF.get(row)
    if script is None:
        return
    if problem := _prepared():
        result.notes.append(f"Peers are not available: {problem}.")
        return
    command = [ENVIRONMENT / "bin" / "python", SCRIPTS / f"{script}.py", effort.rounds, effort.seconds]
    for told in _said([str(part) for part in command]):
        if told.error:
            result.notes.append(f"{told.peer} is not available: {told.error}.")
        else:
            result.lines.append(_line(row, told))


def _line(row: str, told: Told) -> Line:
    value, unit = (told.seconds * 1e3, "ms") if told.seconds >= 1e-3 else (told.seconds * 1e6, "µs")
    return amount(row, f"peer: {told.peer}, {told.case}", value, unit)


def _reason(text: str, otherwise: str) -> str:
    """The last line of what was said, without the places of this machine."""
    return re.sub(r"/\S*/", "", (text.strip().splitlines() or [otherwise])[-1])[:200]


def _said(command: list[str]) -> list[Told]:
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=PATIENCE, input=validate.cases_for_others()
        )
    except subprocess.TimeoutExpired:
        return [Told(command[1], error=f"it took longer than {PATIENCE:g} s")]
    found = [msgspec.json.decode(line, type=Told) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        found.append(Told(Path(command[1]).name, error=_reason(done.stderr, "it failed")))
    return found


def _prepared() -> str:
    """Make the environment unless it is there; why it could not be made, empty if it could."""
    mark = ENVIRONMENT / f"ready-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]}"
    if mark.exists():
        return ""
    print(f"making {ENVIRONMENT.name}/ for what is measured beside ...", flush=True)
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(ENVIRONMENT)],
        [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS)],
    ):
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return f"{command[1:4]} took longer than {PATIENCE:g} s"
        if done.returncode:
            return _reason(done.stderr, "their environment could not be made")
    mark.touch()
    return ""

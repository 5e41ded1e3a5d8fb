"""perf-start: how long ``--help`` and ``up`` take, and what an idle host holds in memory."""

from __future__ import annotations

import compileall
import importlib.util
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from bench.harness import Effort, Figure, cpu_seconds, descendants
from bench.hosting import scratch
from bench.result import Result, amount, times
from bench.rows.memory import MIB, resident

ROW = "perf-start"
HELP_TARGET, UP_TARGET, IDLE_TARGET = 1.3, 1.4, 1.3
LIBRARIES = ("asyncio", "sqlite3", "click", "msgspec", "pluggy", "anyio", "jsonschema_rs", "uvloop")
DOORS = ("grpc", "starlette", "uvicorn")
START_TIMEOUT = 60.0

Start: TypeAlias = Callable[[], tuple[float, float]]
"""One start: wall and CPU seconds until it was ready."""


def measure(effort: Effort) -> Result:
    """Every start is a process of its own; everything was compiled before."""
    floor = [name for name in (*LIBRARIES, *DOORS) if importlib.util.find_spec(name)]
    result = Result(
        notes=[
            "Ceiling of `--help`: `python -c 'import click'`. Ceiling of `up`: a process that imports "
            f"{', '.join(floor)}. Everything is compiled before. `up` is ready when it says so; its memory is that "
            "of all its processes, beside the memory of the process that only imports."
        ]
    )
    compile_all()
    with scratch() as folder:
        environ = {"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        help_ = _run(environ, folder, [_script(), "--help"])
        click = _run(environ, folder, [sys.executable, "-c", "import click"])
        result.lines.append(times(ROW, "--help", "start", race_starts(help_, click, effort), at_most=HELP_TARGET))
        imports = _run(environ, folder, [sys.executable, "-c", f"import {', '.join(floor)}"])
        up = _Up(environ, folder)
        result.lines.append(times(ROW, "up, ready", "start", race_starts(up.start, imports, effort), at_most=UP_TARGET))
        held = _resident_after_import(environ, folder, floor)
        result.lines.append(amount(ROW, "import floor, resident", held / MIB, "MB"))
        result.lines.append(amount(ROW, "up, idle, resident", up.resident / MIB, "MB"))
        share = up.resident / held
        result.lines.append(amount(ROW, "up, idle, of the floor", share, "x", at_most=IDLE_TARGET))
    return result


def compile_all() -> None:
    for name in ("trunnion", "trunnion_audit", "trunnion_scripts", "trunnion_tty"):
        spec = importlib.util.find_spec(name)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            compileall.compile_dir(folder, quiet=2)


def _script() -> str:
    return str(Path(sysconfig.get_path("scripts")) / "trunnion")


def race_starts(ours: Start, ceiling: Start, effort: Effort) -> tuple[Figure, Figure]:
    """In turn, each round as many starts as take its time."""
    first, second = max(ours()[0], 1e-3), max(ceiling()[0], 1e-3)
    pair = ((ours, max(1, round(effort.seconds / first))), (ceiling, max(1, round(effort.seconds / second))))
    rounds: list[list[tuple[float, float]]] = [[], []]
    for _ in range(effort.rounds):
        for index, (start, repeats) in enumerate(pair):
            taken = [start() for _ in range(repeats)]
            rounds[index].append((sum(w for w, _ in taken) / repeats, sum(c for _, c in taken) / repeats))
    mine, others = (Figure(tuple(w for w, _ in each), tuple(c for _, c in each)) for each in rounds)
    return mine, others


def _run(environ: Mapping[str, str], folder: Path, arguments: list[str]) -> Start:
    def start() -> tuple[float, float]:
        cpu, began = cpu_seconds(), time.perf_counter()
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, cwd=folder, env=environ)
        return time.perf_counter() - began, cpu_seconds() - cpu

    return start


class _Up:
    """``trunnion up`` until it says that it is up.

    Attributes:
        resident: bytes its processes held when they were idle, the last time.
    """

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self.resident = 0
        self._environ = environ
        self._folder = folder

    def start(self) -> tuple[float, float]:
        """Start it, then have it end."""
        arguments = [_script(), "--data-dir", str(self._folder / "data"), "up"]
        cpu, began = cpu_seconds(), time.perf_counter()
        with subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._folder,
            env=self._environ,
            text=True,
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            taken = time.perf_counter() - began, cpu_seconds() - cpu
            if "is up" not in line:
                raise RuntimeError(f"trunnion up said {line!r} {process.communicate()[1]!r}")
            while line.strip() and "runs list" not in line:
                line = process.stdout.readline()
            self.resident = resident(process.pid) + sum(map(resident, descendants(process.pid)))
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=START_TIMEOUT)
        return taken


def _resident_after_import(environ: Mapping[str, str], folder: Path, names: list[str]) -> int:
    code = f"import {', '.join(names)}\nprint(open('/proc/self/status').read())"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=folder, env=environ
    )
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024

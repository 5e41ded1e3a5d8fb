"""perf-script: a program as a durable run, and its output, beside bare processes."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import shutil
import subprocess
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from pathlib import Path

from bench import corpus
from bench.harness import Contender, Effort, Work, duel
from bench.hosting import Client, open_host, scratch
from bench.result import Result, rate, times
from trunnion.host import Host
from trunnion.model.json import Json
from trunnion.model.runs import Run

ROW = "perf-script"
TRUE_TARGET, OUTPUT_TARGET = 1.5, 0.7
SECRETS = 5
BLOCK = 64 << 10
SAMPLE_LINES = 20_000


def measure(effort: Effort) -> Result:
    """One after the other."""
    if importlib.util.find_spec("trunnion_scripts") is None:
        return Result(notes=["Not measured: trunnion-scripts is not installed."])
    result = Result(
        notes=[
            "Ceiling of `true`: asyncio.create_subprocess_exec with both outputs read to their end. Ceiling of output: "
            f"a loop of os.read ({BLOCK >> 10} KiB) into a file; {effort.output_bytes >> 20} MiB of a generated "
            "service log (`--full`: 1 GiB), written by `cat`. Secrets are arguments that the output is searched for."
        ]
    )
    with scratch() as folder:
        asyncio.run(_measure(folder, effort, result))
    return result


async def _measure(folder: Path, effort: Effort, result: Result) -> None:
    source = folder / "output.log"
    write_lines(source, effort.output_bytes)
    plugins = {"scripts": importlib.import_module("trunnion_scripts.plugin")}
    async with open_host(folder / "host", "process", plugins=plugins, config=_config(source)) as host:
        true = Series(host, "scripts.true")
        figures = await duel(Contender(true.work, true.forget), _bare_true, effort)
        result.lines.append(times(ROW, "true", "run", figures, at_most=TRUE_TARGET))
        for command, secrets in (("scripts.plain", 0), ("scripts.searched", SECRETS)):
            args: dict[str, Json] = {f"s{index}": f"correct-horse-{index}-battery" for index in range(secrets)}
            output = Series(host, command, args)
            ceiling = bare_output(source, folder / "bare.log")
            figures = await duel(Contender(output.work, output.forget), ceiling, effort)
            result.lines.append(rate(ROW, f"output, {secrets} secrets", "run", figures, at_least=OUTPUT_TARGET))


def _config(source: Path) -> str:
    true, cat = shutil.which("true"), shutil.which("cat")
    secrets = "".join(
        f'[scripts.searched.args.s{index}]\ntype = "string"\nsecret = true\nenv = "S{index}"\n'
        for index in range(SECRETS)
    )
    return (
        # All of it is to be kept, as the ceiling keeps it.
        "[executor]\nmax_output_bytes = 0\nmax_output_lines = 0\n"
        f'[scripts.true]\nrun = ["{true}"]\nlock = ""\n'
        f'[scripts.plain]\nrun = ["{cat}", "{source}"]\nlock = ""\n'
        f'[scripts.searched]\nrun = ["{cat}", "{source}"]\nlock = ""\n{secrets}'
    )


def write_lines(path: Path, size: int) -> None:
    """A file of log lines, the same ones over and over."""
    block = "".join(line + "\n" for line in corpus.lines(SAMPLE_LINES)).encode()
    with path.open("wb") as file:
        while file.tell() < size:
            file.write(block[: size - file.tell()])


class Series:
    """Runs of one script, which are forgotten between rounds so that the disk does not fill."""

    def __init__(self, host: Host, command_id: str, args: Mapping[str, Json] | None = None) -> None:
        self._store = host.kernel.store
        self._client = Client(host, command_id, args)
        self._ended: list[Run] = []

    async def work(self, count: int) -> None:
        """One run after the other.

        Raises:
            RuntimeError: one failed, so that its time means nothing.
        """
        for _ in range(count):
            run = await self._client.run()
            if run.status != "succeeded":
                raise RuntimeError(f"{run.command_id} ended as {run.status}: {run.error}")
            self._ended.append(run)

    def forget(self) -> None:
        """Remove what has ended."""
        for run in self._ended:
            self._store.forget(run.id)
        self._ended.clear()


async def _bare_true(count: int) -> None:
    for _ in range(count):
        process = await asyncio.create_subprocess_exec("true", stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
        await process.communicate()


def bare_output(source: Path, target: Path) -> Work:
    """The ceiling of output."""

    async def work(count: int) -> None:
        for _ in range(count):
            with target.open("wb", buffering=0) as file:
                process = subprocess.Popen(["cat", str(source)], stdout=subprocess.PIPE)  # noqa: ASYNC220  the bare thing
                assert process.stdout is not None
                descriptor = process.stdout.fileno()
                while data := os.read(descriptor, BLOCK):
                    file.write(data)
                process.stdout.close()
                process.wait()

    return work

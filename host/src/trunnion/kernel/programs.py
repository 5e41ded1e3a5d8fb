"""A program as a run: the host's keeper starts it, its output is told as it comes, its end is a result or an error."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping

import msgspec

from trunnion.kernel.context import Context
from trunnion.kernel.program_output import Channel, Pump, TextChannel
from trunnion.model.errors import CommandFailed
from trunnion.model.json import Json
from trunnion.model.programs import ENDED
from trunnion.process import Exit, Keeper, PipeReader, PipeWriter, Process, Spawn, Step

PASSED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_*", "TZ", "TMPDIR")
"""The host's variables every program sees; the rest may hold what is nobody's business."""

STOP_GRACE = 3.0
"""Seconds from SIGTERM to SIGKILL where nobody says otherwise."""

_STEPS = {
    "close_stdin": "closed its standard input",
    "terminate": "sent SIGTERM to {} of its processes",
    "kill": "sent SIGKILL to {} processes that were left",
}

_LIMITS = {
    "memory": "it and its descendants were killed for using more memory than their limit of {} bytes",
    "tasks": "it ran into the limit of {} processes and threads",
}


def passed(environ: Mapping[str, str], more: Iterable[str] = ()) -> dict[str, str]:
    """The variables a program is given of the host's own.

    Args:
        environ: the host's environment.
        more: names beside ``PASSED``, or beginnings of names with ``*`` at their end.
    """
    names = (*PASSED, *more)
    beginnings = tuple(name[:-1] for name in names if name.endswith("*"))
    return {name: environ[name] for name in environ if name in names or name.startswith(beginnings)}


async def run_program(
    ctx: Context, spawn: Spawn, *, stdout: Channel | None = None, stdin: bytes = b"", stop_grace: float = STOP_GRACE
) -> dict[str, Json]:
    """Run a program for a run, until nothing of it is left; a run that is cancelled stops it with all it started.

    It is told which run it belongs to by ``TRUNNION_RUN_ID`` and ``TRUNNION_COMMAND``.

    Args:
        ctx: of the run. What of the program's environment the host knows to be secret is cut from its output.
        spawn: what to start; ``owner`` and the two variables are filled in.
        stdout: takes its standard output, by default as text. Standard error is text of level ``warning``.
        stdin: written to its standard input, which ``spawn.stdin`` then has to be a pipe for.
        stop_grace: seconds from SIGTERM to SIGKILL.

    Returns:
        How it ended, what it used, and what its channels say of it.

    Raises:
        CommandFailed: it did not end with status 0; the details are what would have been returned.
        SpawnFailed: it could not be started.
        Unavailable: there is no keeper at the moment.
    """
    # What the host knows to be secret is searched for in the program's bytes, wherever they are split.
    ctx.register_secrets(*(value for value in spawn.env.values() if ctx.redacted(value) != value))
    marks = {"TRUNNION_RUN_ID": ctx.run_id, "TRUNNION_COMMAND": ctx.command_id}
    spawn = msgspec.structs.replace(spawn, env={**spawn.env, **marks}, owner=ctx.run_id)
    async with await _started(ctx, spawn) as process:
        return await _follow(ctx, spawn, process, stdout or TextChannel(ctx, "stdout", "info"), stdin, stop_grace)


async def _started(ctx: Context, spawn: Spawn) -> Process:
    """The program once it runs; whoever is cancelled while it starts is so again then, and stops it as any other.

    Given up half-way it would be killed too, but not before the run has ended.
    """
    starting = asyncio.ensure_future(ctx.require(Keeper).spawn(spawn, on_step=_told(ctx)))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        process = await starting
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
            task.cancel()
        return process


async def _follow(
    ctx: Context, spawn: Spawn, process: Process, stdout: Channel, stdin: bytes, stop_grace: float
) -> dict[str, Json]:
    began = time.monotonic()
    stderr = TextChannel(ctx, "stderr", "warning")
    pipes: dict[PipeReader, Channel] = {process.stdout: stdout}
    if process.stderr is not None:
        pipes[process.stderr] = stderr
    pump = Pump(ctx, pipes)
    feeding = _fed(ctx, process.stdin, stdin)
    try:
        end = await process.wait()
    except asyncio.CancelledError:
        stopped = await process.stop(stop_grace)
        await pump.finish()
        if stopped.limit:
            ctx.log(f"stopping: {_limited(spawn, stopped)}", "warning")
        raise
    finally:
        if feeding is not None:
            feeding.cancel()
    await pump.finish()
    facts = _facts(end, time.monotonic() - began)
    if not end.ok:
        raise CommandFailed(_failure(spawn, end, stderr.last_line), {**facts, **stderr.facts()})
    return {**facts, **stderr.facts(), **stdout.facts()}


def _fed(ctx: Context, pipe: PipeWriter | None, data: bytes) -> asyncio.Task[None] | None:
    return None if pipe is None else asyncio.get_running_loop().create_task(_feed(ctx, pipe, data))


async def _feed(ctx: Context, pipe: PipeWriter, data: bytes) -> None:
    """Write the input; a program need not read all of it."""
    try:
        await pipe.write_all(data)
    except BrokenPipeError:
        ctx.log("the program did not read all of its standard input", "debug")
    finally:
        pipe.close()


def _told(ctx: Context) -> Callable[[Step], None]:
    def told(step: Step) -> None:
        text = _STEPS[step.name].format(step.processes)
        ctx.log(f"stopping: {text}", "warning", msgspec.to_builtins(step))

    return told


def _facts(end: Exit, seconds: float) -> dict[str, Json]:
    resources: dict[str, Json] = {
        "user_seconds": end.user_seconds,
        "system_seconds": end.system_seconds,
        "max_rss": end.max_rss,
    }
    told = (end.code, end.signal_name or None, round(seconds, 6), resources, end.killed_tree)
    facts: dict[str, Json] = dict(zip(ENDED, told, strict=True))
    return {**facts, "limit": end.limit} if end.limit else facts


def _failure(spawn: Spawn, end: Exit, last_line: str) -> str:
    program = os.path.basename(spawn.argv[0])  # noqa: PTH119
    if end.code is not None:
        how = f"exited with status {end.code}"
    else:
        how = f"was ended by {end.signal_name}{' and dumped core' if end.core else ''}"
    if end.limit:
        how += f" ({_limited(spawn, end)})"
    elif _is_out_of_time(spawn, end):
        how += f" (it used up its limit of {spawn.limits.cpu_seconds} seconds of processor time)"
    return f"{program} {how}{': ' if last_line else ''}{last_line}"


def _is_out_of_time(spawn: Spawn, end: Exit) -> bool:
    """Whether the kernel ended it for ``cpu_seconds``: it says so by SIGKILL alone, when about that much was used."""
    limit = spawn.limits.cpu_seconds
    used = end.user_seconds + end.system_seconds
    return limit is not None and end.signal_name == "SIGKILL" and used > limit - 0.5


def _limited(spawn: Spawn, end: Exit) -> str:
    return _LIMITS[end.limit].format(getattr(spawn.limits, end.limit))

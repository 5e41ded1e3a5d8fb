"""One run of a script, from its arguments to its result."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from trunnion import CommandFailed, Context, Json
from trunnion.process import Exit, Keeper, PipeReader, PipeWriter, Process, Step
from trunnion_scripts.declaration import Script
from trunnion_scripts.output import Channel, Pump, TextChannel, channel_for
from trunnion_scripts.request import request

_STEPS = {
    "close_stdin": "closed its standard input",
    "terminate": "sent SIGTERM to {} of its processes",
    "kill": "sent SIGKILL to {} processes that were left",
}

_LIMITS = {
    "memory": "it and its descendants were killed for using more memory than their limit of {} bytes",
    "tasks": "it ran into the limit of {} processes and threads",
}


def handler_for(script: Script) -> Callable[[Context, Mapping[str, Json]], Awaitable[Json]]:
    """The handler of a script's command."""

    async def run_script(ctx: Context, args: Mapping[str, Json]) -> Json:
        return await _run(script, ctx, args)

    return run_script


async def _run(script: Script, ctx: Context, args: Mapping[str, Json]) -> Json:
    wanted = request(script, args, os.environ)
    # What the host knows to be secret is searched for in the program's bytes, wherever they are split.
    ctx.register_secrets(*(value for value in wanted.spawn.env.values() if ctx.redacted(value) != value))
    marks = {"TRUNNION_RUN_ID": ctx.run_id, "TRUNNION_COMMAND": script.id}
    spawn = msgspec.structs.replace(wanted.spawn, env={**wanted.spawn.env, **marks}, owner=ctx.run_id)
    async with await ctx.require(Keeper).spawn(spawn, on_step=_told(ctx)) as process:
        return await _follow(script, ctx, process, wanted.stdin)


async def _follow(script: Script, ctx: Context, process: Process, stdin: bytes) -> Json:
    began = time.monotonic()
    stdout, stderr = channel_for(script.said.output, ctx), TextChannel(ctx, "stderr", "warning")
    pipes: dict[PipeReader, Channel] = {process.stdout: stdout}
    if process.stderr is not None:
        pipes[process.stderr] = stderr
    pump = Pump(ctx, pipes)
    feeding = _fed(ctx, process.stdin, stdin)
    try:
        end = await process.wait()
    except asyncio.CancelledError:
        stopped = await process.stop(script.said.stop_grace)
        await pump.finish()
        if stopped.limit:
            ctx.log(f"stopping: {_limited(script, stopped)}", "warning")
        raise
    finally:
        if feeding is not None:
            feeding.cancel()
    await pump.finish()
    facts = _facts(end, time.monotonic() - began)
    if not end.ok:
        raise CommandFailed(_failure(script, end, stderr.last_line), {**facts, **stderr.facts()})
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
    resources = {"user_seconds": end.user_seconds, "system_seconds": end.system_seconds, "max_rss": end.max_rss}
    facts: dict[str, Json] = {
        "exit_code": end.code,
        "signal": end.signal_name or None,
        "seconds": round(seconds, 6),
        "resources": resources,
        "killed": end.killed_tree,
    }
    return {**facts, "limit": end.limit} if end.limit else facts


def _failure(script: Script, end: Exit, last_line: str) -> str:
    program = os.path.basename(str(script.run[0][0]))  # noqa: PTH119
    if end.code is not None:
        how = f"exited with status {end.code}"
    else:
        how = f"was ended by {end.signal_name}{' and dumped core' if end.core else ''}"
    if end.limit:
        how += f" ({_limited(script, end)})"
    elif _is_out_of_time(script, end):
        how += f" (it used up its limit of {script.said.limits.cpu_seconds} seconds of processor time)"
    return f"{program} {how}{': ' if last_line else ''}{last_line}"


def _is_out_of_time(script: Script, end: Exit) -> bool:
    """Whether the kernel ended it for ``cpu_seconds``: it says so by SIGKILL alone, when about that much was used."""
    limit = script.said.limits.cpu_seconds
    used = end.user_seconds + end.system_seconds
    return limit is not None and end.signal_name == "SIGKILL" and used > limit - 0.5


def _limited(script: Script, end: Exit) -> str:
    return _LIMITS[end.limit].format(getattr(script.said.limits, end.limit))

"""Following a stream: like staying with a run, but Ctrl-C only stops looking on."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from trunnion.launcher.attend import tell_end
from trunnion.launcher.elsewhere import connected
from trunnion.launcher.failures import exit_status
from trunnion.launcher.options import Options
from trunnion.launcher.place import locate
from trunnion.launcher.render import Renderer
from trunnion.launcher.screen import Screen
from trunnion.launcher.signals import Interrupts
from trunnion.model.events import RUN_STREAM, encode_event
from trunnion.protocol.clients import HostClient


async def follow_stream(options: Options, screen: Screen, stream: str, after: int, *, live: bool) -> int:
    """Show a stream until it ends or the person leaves.

    Args:
        options: the global options.
        screen: where to; with ``--json`` each event is one line.
        stream: its name.
        after: the last event number already seen.
        live: go on at the present end.

    Returns:
        The exit status; of a run's stream followed to its end, the run's.

    Raises:
        TrunnionError: no host is running, or it refuses.
    """
    artifacts = locate(options).data.artifacts if options.connect is None else None
    async with connected(options) as client:
        with Interrupts() as interrupts:
            showing = asyncio.create_task(_show(client, screen, stream, after, live=live, artifacts=artifacts))
            leaving = asyncio.create_task(interrupts.reached(1))
            await asyncio.wait([showing, leaving], return_when=asyncio.FIRST_COMPLETED)
            left = not showing.done()
            for task in (showing, leaving):
                task.cancel()
            await asyncio.wait([showing, leaving])
        if left:
            screen.note("stopped following; what is followed goes on")
            return exit_status("cancelled")
        await showing
        if not (live and stream.startswith(RUN_STREAM)) or screen.as_json:
            return 0
        return tell_end(screen, await client.wait(stream.removeprefix(RUN_STREAM)), to_reach=options.to_reach)


async def _show(
    client: HostClient, screen: Screen, stream: str, after: int, *, live: bool, artifacts: Path | None
) -> None:
    renderer = Renderer(screen, states=True, artifacts=artifacts)
    try:
        async with contextlib.aclosing(client.follow(stream, after, live=live)) as batches:
            async for batch in batches:
                for event in batch:
                    if screen.as_json:
                        screen.out(encode_event(event).decode() + "\n")
                    else:
                        renderer.show(event)
    finally:
        renderer.close()

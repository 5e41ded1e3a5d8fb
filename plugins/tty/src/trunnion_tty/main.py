"""From ``trunnion shell`` to a shell with somebody in front of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from trunnion.launcher.hosted import refuse_start_options
from trunnion.launcher.options import Options
from trunnion.launcher.place import locate
from trunnion.launcher.screen import Screen
from trunnion_tty.batch import BatchFace, typed
from trunnion_tty.link import Link
from trunnion_tty.settings import Theme
from trunnion_tty.shell import Shell
from trunnion_tty.signals import Signals

BATCH_PATIENCE = 15.0
"""Seconds lines that nobody watches wait for a host that is gone."""


class Wish(NamedTuple):
    """What the person asked of ``trunnion shell``."""

    plain: bool = False
    keep_going: bool = False
    start: bool = True
    keep_history: bool = True
    theme: Theme | None = None
    line: str | None = None
    file: Path | None = None


async def main(options: Options, wish: Wish) -> int:
    """Open a shell, and be with it until it ends; returns the exit status.

    Raises:
        TrunnionError: there is no host and none can be started.
    """
    async with AsyncExitStack() as stack:
        data = locate(options).data
        link = Link(data.socket)
        stack.push_async_callback(link.close)
        await link.open()
        refuse_start_options(options)
        if wish.line is not None or wish.file is not None or wish.plain or not _is_drawn():
            return await _batch(link, wish, stack)
        return await _interactive(link, wish, data.root.name, stack)


def _is_drawn() -> bool:
    """Whether somebody is in front of a terminal that can be drawn on."""
    from trunnion.rendering import is_dumb

    return sys.stdin.isatty() and sys.stdout.isatty() and not is_dumb(os.environ)


async def _interactive(link: Link, wish: Wish, host: str, stack: AsyncExitStack) -> int:
    from trunnion_tty.history import HistoryFile, default_path
    from trunnion_tty.interactive import InteractiveFace, converse

    history = HistoryFile(default_path() if wish.keep_history else None, link.catalog.settings.history_lines)
    face = InteractiveFace(link, host, wish.theme, history, sys.stdin, sys.stdout)
    shell = Shell(link, face, patience=float("inf"))
    face.attach(shell)
    stack.push_async_callback(shell.close)
    link.on_health, link.on_notice = face.on_health, face.on_notice
    link.watch()
    return await converse(face, shell)


async def _batch(link: Link, wish: Wish, stack: AsyncExitStack) -> int:
    task = asyncio.current_task()
    signals = Signals(lambda: False, partial(_end, task))
    stack.enter_context(signals)
    face = BatchFace(Screen(), signals)
    shell = Shell(link, face, patience=BATCH_PATIENCE)
    stack.push_async_callback(shell.close)
    status = 0
    async for text in _texts(wish):
        status = await shell.perform(text, keep_going=wish.keep_going) or status
        if shell.leaving or (status and not wish.keep_going):
            break
    return status


async def _texts(wish: Wish) -> AsyncIterator[str]:
    if wish.line is not None:
        yield wish.line
    elif wish.file is not None:
        yield await asyncio.to_thread(wish.file.read_text, encoding="utf-8")
    else:
        async for text in typed(sys.stdin, "> " if sys.stdin.isatty() else ""):
            yield text


def _end(task: asyncio.Task[object] | None, _number: signal.Signals) -> None:
    if task is not None:
        task.cancel()

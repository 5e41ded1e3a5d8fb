"""From ``trunnion shell`` to a shell with somebody in front of it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trunnion.launcher.behind import HostBehind
from trunnion.launcher.joining import Start
from trunnion.launcher.options import Options
from trunnion.launcher.place import locate
from trunnion_tty.hosting import FarHost, Hosting, OwnHost
from trunnion_tty.link import Link
from trunnion_tty.reading import goes_on
from trunnion_tty.settings import Theme
from trunnion_tty.shell import Shell
from trunnion_tty.signals import Signals
from trunnion_tty.terminal import quiet
from trunnion_tty.where import Where, elsewhere, here

if TYPE_CHECKING:
    from trunnion_tty.batch import Typed

BATCH_PATIENCE = 15.0
"""Seconds lines that nobody watches wait for a host that is gone."""


HANGUP_PATIENCE = 2.0
"""Seconds a run is given to be cancelled when the terminal has closed."""


class Wish(NamedTuple):
    """What the person asked of ``trunnion shell``.

    Attributes:
        start: whether a host may be started: not at all, if none is running, or always a new one (``trunnion up``).
    """

    plain: bool = False
    keep_going: bool = False
    start: Start = "missing"
    keep_history: bool = True
    theme: Theme | None = None
    lines: Sequence[str] = ()
    file: Path | None = None

    @property
    def is_typed(self) -> bool:
        """Whether lines come one by one, as from a person or a pipe."""
        return not self.lines and self.file is None

    @property
    def is_drawn(self) -> bool:
        """Whether somebody is in front of a terminal that can be drawn on."""
        from trunnion.rendering import is_dumb

        if self.plain or not self.is_typed:
            return False
        return sys.stdin.isatty() and sys.stdout.isatty() and not is_dumb(os.environ)


async def main(options: Options, wish: Wish, begun: HostBehind | None = None) -> int:
    """Open a shell, and be with it until it ends; returns the exit status.

    Args:
        options: the global options.
        wish: what it is to do.
        begun: a host that starts for it.

    Raises:
        TrunnionError: there is no host and none can be started.
    """
    scene = _far(options) if options.connect is not None else _near(options, wish, begun)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(scene.link.close)
        opened = _interactive if wish.is_drawn else _batch
        return await opened(scene, wish, stack)


class Scene(NamedTuple):
    """The host a shell is for: the line to it, what becomes of it, and where it is."""

    link: Link
    own: Hosting
    where: Where


def _near(options: Options, wish: Wish, begun: HostBehind | None) -> Scene:
    from trunnion.protocol.client import Client

    data = locate(options).data
    link = Link(Client(data.socket, patience=inf, door="tty"))
    return Scene(link, OwnHost(options, link, wish.start, begun), here(data))


def _far(options: Options) -> Scene:
    from trunnion.launcher.destination import destination
    from trunnion.protocol.connecting import client_for

    to = destination(options)
    link = Link(client_for(to, patience=inf, door="tty"))
    return Scene(link, FarHost(link, to.url), elsewhere(options.connect or "", to))


def _settle() -> None:
    """The start is over: the collector is not to look through all of it again and again."""
    gc.freeze()
    gc.enable()


# -- lines of a file or a pipe ------------------------------------------------------------------------


async def _batch(scene: Scene, wish: Wish, stack: AsyncExitStack) -> int:
    from trunnion_tty.batch import BatchFace, BatchScreen, Typed

    task = asyncio.current_task()
    person = wish.is_typed and sys.stdin.isatty()
    typed = Typed(sys.stdin, "> " if person else "") if wish.is_typed else None
    signals = Signals(partial(_interrupted, typed, person, task), partial(_end, task), attended=person)
    stack.enter_context(signals)
    stack.push_async_callback(scene.own.stop)
    await scene.own.connect()
    await stack.enter_async_context(scene.own.minded(BATCH_PATIENCE))
    _settle()
    face = BatchFace(BatchScreen(plain=wish.plain), signals, scene.where.artifacts)
    shell = Shell(scene.link, face, scene.own, patience=BATCH_PATIENCE)
    stack.push_async_callback(shell.close)
    if typed is None:
        written = "\n".join(wish.lines) if wish.file is None else await shell.read(wish.file)
        return await shell.perform(written, keep_going=wish.keep_going, origin=wish.file)
    typed.goes_on = lambda text: goes_on(text, shell.place())
    status = 0
    while not shell.leaving and (text := await typed.next()) is not None:
        if person:
            signals.forget()
        status = await shell.perform(text, keep_going=wish.keep_going) or status
        if status and not (wish.keep_going or person):
            break
    return 0 if person else status


def _interrupted(typed: Typed | None, person: bool, task: asyncio.Task[object] | None) -> bool:
    """Ctrl-C while a line is waited for: a person takes back what is typed, a pipe has been waited for long enough."""
    if typed is None or not typed.waiting:
        return False
    if person:
        typed.forget()
    else:
        _end(task, signal.SIGINT)
    return True


def _end(task: asyncio.Task[object] | None, _number: signal.Signals) -> None:
    if task is not None:
        task.cancel()


# -- somebody at a terminal ---------------------------------------------------------------------------


async def _interactive(scene: Scene, wish: Wish, stack: AsyncExitStack) -> int:
    from trunnion_tty.interactive import InteractiveFace, converse

    stack.enter_context(quiet(sys.stdout.fileno()))
    link, own, where = scene
    face = InteractiveFace(link, own, where, wish.theme, sys.stdin, sys.stdout)
    try:
        await own.connect()
    except BaseException:
        await own.stop()
        raise
    shell = Shell(link, face, own, patience=inf)
    face.attach(shell, keep_history=wish.keep_history)
    link.on_health, link.on_notice, own.told = face.on_health, face.on_notice, face.on_own_host
    face.welcome()
    link.watch(from_its_start=own.started)
    _settle()
    status = await converse(face, shell)
    if face.ended_by == signal.SIGHUP and link.catalog.settings.on_hangup == "cancel":
        await shell.cancel_foreground(HANGUP_PATIENCE)
    await shell.close()
    if own.started and face.ended_by != signal.SIGHUP:
        face.screen.note("stopping the host; Ctrl-C does not wait for its runs")
        face.display.flush()
        await _stopped(own)
    return status


async def _stopped(own: Hosting) -> None:
    """Wait until the shell's own host has stopped; Ctrl-C hurries it."""
    loop = asyncio.get_running_loop()
    stopping = [asyncio.create_task(own.stop())]
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: stopping.append(asyncio.create_task(own.stop())))
    try:
        await stopping[0]
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        for task in stopping:
            task.cancel()

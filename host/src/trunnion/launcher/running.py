"""Running one command: by the host that is there, or by one started for it in this process."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trunnion.launcher.attend import Abandon, Attendance, Tell, plain, tell_end
from trunnion.launcher.elsewhere import far
from trunnion.launcher.hosted import refuse_start_options
from trunnion.launcher.options import Options
from trunnion.launcher.place import locate
from trunnion.launcher.screen import Screen
from trunnion.launcher.signals import Interrupts
from trunnion.model.errors import Conflict, TrunnionError, Unavailable
from trunnion.model.runs import Invocation, Run
from trunnion.protocol.address import is_served
from trunnion.protocol.client import Client
from trunnion.protocol.clients import HostClient

if TYPE_CHECKING:
    from trunnion.host import Host

ATTEMPTS = 5
PAUSE = 0.2
STARTING = 15.0
"""Seconds to wait for another host that holds the data directory but does not answer yet."""


def run_in_loop(
    options: Options, screen: Screen, invocation: Invocation, *, detach: bool = False, tell: Tell | None = None
) -> int:
    """``run_command`` in a loop of the kind it needs: the host's own when a host may have to be started."""
    is_there = options.connect is not None or is_served(locate(options).data.socket)
    main = run_command(options, screen, invocation, detach=detach, tell=tell)
    if is_there:
        return asyncio.run(main)
    from trunnion.running import run

    return run(main)


async def run_command(
    options: Options, screen: Screen, invocation: Invocation, *, detach: bool, tell: Tell | None = None
) -> int:
    """Run a command and stay with it.

    Args:
        options: the global options.
        screen: the terminal.
        invocation: with an idempotency key, so that it can be sent again.
        detach: return as soon as it is on record.
        tell: says what came of it.

    Returns:
        The exit status.

    Raises:
        TrunnionError: it was refused, or no host could be reached or started.
    """
    async with AsyncExitStack() as stack:
        interrupts = stack.enter_context(Interrupts(counting=False))
        client, host, run = await _Reach(options, screen, interrupts, stack).submitted(invocation, detach=detach)
        if detach:
            return _detached(screen, run, options.to_reach)
        attendance = Attendance(
            client,
            screen,
            interrupts,
            to_reach=options.to_reach,
            abandon=_abandon(host),
            tell=tell,
            artifacts=locate(options).data.artifacts if options.connect is None else None,
        )
        try:
            return await attendance.stay(run)
        except Unavailable:
            # A host that another process started for one run may have ended ours too, and gone before it was asked.
            is_here = host is None and options.connect is None
            ended = await _on_record(options, run.id) if is_here else None
            if ended is None:
                raise
            return tell(screen, ended) if tell is not None else tell_end(screen, ended, to_reach=options.to_reach)


class _Reach(NamedTuple):
    """The way to a host: the one that runs, or one started in this process."""

    options: Options
    screen: Screen
    interrupts: Interrupts
    stack: AsyncExitStack

    async def submitted(self, invocation: Invocation, *, detach: bool) -> tuple[HostClient, Host | None, Run]:
        """A run on record, with whom it was submitted to.

        A host that another process started for one run may end between our connecting and our asking: then
        the way to a host is gone again.
        """
        for attempt in range(ATTEMPTS):
            client, host = await self.client(detach=detach)
            self.interrupts.count_from_now()
            try:
                return client, host, await submit(client, invocation)
            except TrunnionError as error:
                if host is not None or attempt + 1 == ATTEMPTS or not _is_gone(error):
                    raise
        raise AssertionError("unreachable")

    async def client(self, *, detach: bool) -> tuple[HostClient, Host | None]:
        """A connected client, and the host if it was started here."""
        if self.options.connect is not None:
            return await self.stack.enter_async_context(far(self.options)), None
        path = locate(self.options).data.socket
        deadline = asyncio.get_running_loop().time() + STARTING
        while True:
            try:
                client = await self.stack.enter_async_context(await Client.connect(path, patience=STARTING))
            except Unavailable:
                if detach:
                    raise
            else:
                refuse_start_options(self.options)
                return client, None
            try:
                return await self._started(path)
            except Conflict as error:
                # Another process was first to start a host; it answers in a moment.
                if "socket" not in error.details or asyncio.get_running_loop().time() >= deadline:
                    raise
                await asyncio.sleep(PAUSE)

    async def _started(self, path: Path) -> tuple[Client, Host]:
        from trunnion.launcher.cold import cold_host

        host = await self.stack.enter_async_context(cold_host(self.options, self.screen, self.interrupts))
        return await self.stack.enter_async_context(await Client.connect(path)), host


async def _on_record(options: Options, run_id: str) -> Run | None:
    """A run that has ended, from what its host left; None while it has not, or where that cannot be read."""
    from trunnion.launcher.cold import recorded

    try:
        run = await recorded(options, run_id)
    except TrunnionError:
        return None
    return run if run.ended else None


def _abandon(host: Host | None) -> Abandon | None:
    """How to end the host that was started here, and its runs with it."""
    if host is None:
        return None
    from trunnion.launcher.cold import interrupt

    return partial(interrupt, host)


async def submit(client: HostClient, invocation: Invocation) -> Run:
    """Submit; when the answer is lost with the line, ask again: the key makes it the same run.

    Raises:
        TrunnionError: it was refused, or the host did not come back.
    """
    for attempt in range(ATTEMPTS):
        try:
            return await client.submit(invocation)
        except TrunnionError as error:
            if attempt + 1 == ATTEMPTS or not _is_gone(error):
                raise
            await asyncio.sleep(PAUSE * 2**attempt)
    raise AssertionError("unreachable")


def _is_gone(error: TrunnionError) -> bool:
    """Whether the line was lost or the host is about to end: another may be there in a moment."""
    return isinstance(error, Unavailable) or bool(error.details.get("stopping"))


def _detached(screen: Screen, run: Run, to_reach: str) -> int:
    if screen.as_json:
        screen.value(plain(run))
    else:
        screen.out(f"{run.id}\n")
        import shlex

        stream = shlex.quote(f"run/{run.id}")  # which a host elsewhere has chosen, and somebody pastes into a shell
        screen.note(f"follow it with: trunnion {to_reach}follow {stream}")
    return 0

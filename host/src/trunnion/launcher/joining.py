"""For a client that stays: the host that runs on a data directory, or one started behind this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from trunnion.config.data_dir import DataDir, holder_of
from trunnion.launcher.behind import STARTING, HostBehind
from trunnion.launcher.hosted import refuse_start_options
from trunnion.launcher.place import locate
from trunnion.model.errors import Conflict, Unavailable
from trunnion.protocol.address import is_served

if TYPE_CHECKING:
    from trunnion.launcher.options import Options

Start: TypeAlias = Literal["never", "missing", "always"]
"""When a host is started: not at all, where none runs, or in any case, so that one that runs already is an error."""

PAUSE: Final = 0.02
"""Seconds between looks at a host that is about to come up or to go."""


def begin(options: Options, start: Start) -> HostBehind | None:
    """Start a host's process if one is to be started, and return at once; ``reach`` waits for it.

    Raises:
        Conflict: with ``"always"``, a host runs already.
        InvalidConfig: the configuration cannot be read.
        Unavailable: the system does not start another process.
    """
    data = locate(options).data
    if holder_of(data) is None and not is_served(data.socket):
        return HostBehind.launch(options) if start != "never" else None
    if start == "always":
        raise Conflict(
            f"{data.root}: a host is running on this data directory; join it with trunnion shell, or stop it first",
            {"pid": holder_of(data), "socket": str(data.socket)},
        )
    return None


async def reach(
    options: Options, start: Start, *, begun: HostBehind | None = None, timeout: float = STARTING
) -> HostBehind | None:
    """Have a host answer at the socket of the data directory.

    One that comes up or goes at this moment is waited for; where several processes start one at once, one of them does
    and the others join it.

    Args:
        options: the global options.
        start: whether to start one.
        begun: what ``begin`` returned.
        timeout: seconds it may take.

    Returns:
        The host that was started; None when the one that answers was there before, or none is to be started.

    Raises:
        Conflict: with ``"always"``, another host holds the data directory; otherwise, options were given that a host
            that runs cannot take into account.
        Unavailable: a host holds the data directory and does not answer.
        TrunnionError: no host could be started; in the host's own words.
    """
    data = locate(options).data
    deadline = asyncio.get_running_loop().time() + timeout
    while True:
        if begun is None and start != "always" and (await _served(data, deadline) or start == "never"):
            refuse_start_options(options)
            return None
        begun = begun or HostBehind.launch(options)
        try:
            await begun.up(timeout)
        except Conflict as error:
            if start == "always" or "pid" not in error.details or asyncio.get_running_loop().time() >= deadline:
                raise
            begun = None
        else:
            return begun


async def _served(data: DataDir, deadline: float) -> bool:
    """Whether a host answers; one that holds the directory and does not is waited for.

    Raises:
        Unavailable: it does neither answer nor go.
    """
    while not is_served(data.socket):
        holder = holder_of(data)
        if holder is None:
            return False
        if asyncio.get_running_loop().time() >= deadline:
            held = f"{data.root}: held by process {holder}, which does not answer"
            raise Unavailable(f"{held}; trunnion doctor may tell why")
        await asyncio.sleep(PAUSE)
    return True

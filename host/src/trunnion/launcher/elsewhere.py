"""A host elsewhere, in place of the one of a data directory: everything the launcher does over ``--connect``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from trunnion.launcher.options import Options
    from trunnion.model.runs import LocalDoor
    from trunnion.protocol.clients import FarClient, HostClient

T = TypeVar("T")
PATIENCE = 30.0
"""Seconds a stream tries to reach a host again."""


def far_client(options: Options, patience: float = PATIENCE, door: LocalDoor = "cli") -> FarClient:
    """A client of the host that ``--connect`` names, not connected yet. Call and use it in a running loop.

    Raises:
        TrunnionError: there is no such host, it cannot be reached so, or what is to be shown to it cannot be read.
    """
    from trunnion.launcher.destination import destination
    from trunnion.protocol.connecting import client_for

    return client_for(destination(options), patience=patience, door=door)


@asynccontextmanager
async def far(options: Options) -> AsyncIterator[FarClient]:
    """A connection to the host that ``--connect`` names.

    Raises:
        Unavailable: nobody answers.
        TrunnionError: it refuses, or see ``far_client``.
    """
    client = far_client(options)
    try:
        await client.hello()
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def connected(options: Options) -> AsyncIterator[HostClient]:
    """A connection to the host that is meant: one elsewhere, or the one that runs on the data directory.

    Raises:
        Unavailable: nobody answers.
        Conflict: options were given that a running host cannot take into account.
        TrunnionError: it refuses.
    """
    if options.connect is not None:
        async with far(options) as client:
            yield client
        return
    from trunnion.launcher.hosted import refuse_start_options
    from trunnion.launcher.place import locate
    from trunnion.protocol.client import Client

    async with await Client.connect(locate(options).data.socket) as near:
        refuse_start_options(options)
        yield near


def ask_far(options: Options, work: Callable[[FarClient], Awaitable[T]], timeout: float | None = None) -> T:
    """The answer of a host elsewhere to one question, for callers without a loop.

    Args:
        options: the global options.
        work: asks.
        timeout: seconds for all of it.

    Raises:
        Unavailable: nobody answers, or not in time.
        TrunnionError: see ``far``.
    """
    return asyncio.run(_asked(options, work, timeout))


async def _asked(options: Options, work: Callable[[FarClient], Awaitable[T]], timeout: float | None) -> T:
    from trunnion.model.errors import Unavailable

    client = far_client(options)
    try:
        async with asyncio.timeout(timeout):
            return await work(client)
    except TimeoutError:
        raise Unavailable(f"the host at {options.connect} did not answer within {timeout:g} s") from None
    finally:
        await client.close()


def fetched(options: Options, artifact_id: str) -> Generator[bytes, None, None]:
    """The pieces of a file kept with a run of a host elsewhere, for callers without a loop.

    Raises:
        TrunnionError: it is not there, may not be read, or the host cannot be reached.
    """
    with asyncio.Runner() as runner:
        client = runner.run(_made(options))
        pieces = client.read(artifact_id)
        try:
            while (piece := runner.run(_next(pieces))) is not None:
                yield piece
        finally:
            runner.run(pieces.aclose())
            runner.run(client.close())


async def _made(options: Options) -> FarClient:
    return far_client(options)


async def _next(pieces: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(pieces, None)

"""A14, A15: programs are started from a host full of busy threads; a host has no memory left."""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import checker
from faults_kit import Ground, Up, submit_many, until

from trunnion.model.errors import TrunnionError
from trunnion.protocol.client import Client

SPARE = 192 << 20
"""Bytes of address space the host may still take."""


def test_a14_programs_are_started_while_threads_log(ground: Ground, rounds: int, figure: Callable[..., None]) -> None:
    """No lock that a thread holds is ever carried into a new program: none hangs between fork and exec."""
    host, quiet, programs = ground.up(), ground.root / "quiet", 30 if rounds <= 20 else 1000

    async def work(client: Client) -> list[str]:
        await submit_many(ground, client, "faults.loud", 1, path=str(quiet))
        runs = await submit_many(ground, client, "scripts.tree", programs)
        ended = [(await client.wait(run)).status for run in runs]
        quiet.touch()
        return ended

    assert ground.talk(work) == ["succeeded"] * programs
    ground.drained()
    assert host.stop() == 0, host.said()
    figure("programs started beside 16 threads that log", programs)
    figure("of them stuck", 0)


def keep_within(host: Up, spare: int) -> None:
    """Let a host take so much more address space, and no more."""
    pages = int(Path(f"/proc/{host.pid}/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + spare
    resource.prlimit(host.pid, resource.RLIMIT_AS, (limit, limit))


def without_memory(ground: Ground, command: str, spare: int | None) -> dict[str, int]:
    """A host under load, of which a plugin takes what there is; then the next one, and the figures."""
    host = ground.up()
    if spare is not None:
        keep_within(host, spare)
    ground.load(processes=1)
    until(lambda: len(checker.lines_of(ground.effects)) > 10, "at work")

    async def take(client: Client) -> None:
        for run in await submit_many(ground, client, command, 1):
            await client.wait(run)

    with suppress(TrunnionError):
        ground.talk(take)
    seen = len(checker.lines_of(ground.effects))
    with suppress(AssertionError):
        # It may go on as well as it can, or not at all.
        until(lambda: len(checker.lines_of(ground.effects)) > seen + 20 or host.process.poll() is not None, "more", 2)
    host.kill()
    host = ground.up()
    ground.close_load()
    ground.drained()
    assert host.stop() == 0, host.said()
    verdict = ground.verdict()
    # Handlers that found no memory have failed, and say so.
    assert verdict.wrong.keys() <= {"failed"}, verdict.shown()
    return verdict.figures()


def test_a15_no_memory_left(ground: Ground, figure: Callable[..., None]) -> None:
    """Whatever becomes of the host, what it told is on record."""
    figures = without_memory(ground, "faults.hog", SPARE)
    figure("acknowledged runs", figures["acknowledged"])
    figure("of them lost or left running", 0)


def test_a15_without_the_fault(ground: Ground) -> None:
    figures = without_memory(ground, "faults.quick", None)
    assert "wrong.failed" not in figures

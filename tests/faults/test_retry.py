"""What is tried again after kill -9, and what is not."""

from __future__ import annotations

from collections.abc import Callable

from faults_kit import Ground, until

from trunnion.model.events import run_stream
from trunnion.model.runs import Invocation, Run
from trunnion.protocol.client import Client

Figure = Callable[..., None]
MANY = 8


def submitted(ground: Ground, command_id: str, seconds: float) -> list[Run]:
    async def submit(client: Client) -> list[Run]:
        given = [{"token": f"{command_id}-{n}", "seconds": seconds} for n in range(MANY)]
        return [await client.submit(Invocation(command_id=command_id, args=args)) for args in given]

    return ground.talk(submit)


def effects(ground: Ground) -> int:
    return len(ground.effects.read_text().splitlines()) if ground.effects.exists() else 0


def rows(ground: Ground, runs: list[Run]) -> list[Run]:
    async def ended(client: Client) -> list[Run]:
        return [await client.wait(run.id, 30) for run in runs]

    return ground.talk(ended)


def failed_attempts(ground: Ground, run: Run) -> list[tuple[object, object]]:
    """From the stream: which attempts failed, and of what."""

    async def read(client: Client) -> list[tuple[object, object]]:
        found = []
        async for batch in client.follow(run_stream(run.id), live=False):
            for event in batch:
                data = event.data
                if event.kind == "state" and isinstance(data, dict) and "failed_attempt" in data:
                    error = data["error"]
                    assert isinstance(error, dict)
                    found.append((data["failed_attempt"], error["code"]))
        return found

    return ground.talk(read)


def test_a1_what_says_so_is_tried_again_after_kill_9_and_nothing_else(ground: Ground, figure: Figure) -> None:
    """Defence: ``Recovery._retried`` asks the command."""
    host = ground.up()
    silent, willing = submitted(ground, "faults.sleeper", 30), submitted(ground, "faults.again", 30)
    kills = 2
    for kill in range(1, kills + 1):
        until(lambda: effects(ground) == MANY + kill * MANY, "all handlers have begun")  # noqa: B023  # waited for at once
        host.kill()
        host = ground.up()
    until(lambda: effects(ground) == MANY + (kills + 1) * MANY, "all willing ones have begun once more")
    assert {(run.status, run.attempt) for run in rows(ground, silent)} == {("interrupted", 1)}

    async def cancel(client: Client) -> None:
        for run in willing:
            await client.cancel(run.id)

    ground.talk(cancel)
    ended = rows(ground, willing)
    assert {(run.status, run.attempt) for run in ended} == {("cancelled", kills + 1)}
    for run in ended:
        assert failed_attempts(ground, run) == [(n, "interrupted") for n in range(1, kills + 1)]
    assert host.stop() == 0, host.said()
    figure("runs without retry tried again after kill -9", 0)
    figure(f"runs with retry tried again after each of {kills} kills", MANY)


def test_a1_what_says_so_is_tried_again_without_the_defence(ground: Ground) -> None:
    """Where nobody asks the command, everything is begun twice."""
    host = ground.up()
    submitted(ground, "faults.sleeper", 30)
    until(lambda: effects(ground) == MANY, "all handlers have begun")
    host.kill()
    ground.up(without="run_again")
    until(lambda: effects(ground) == 2 * MANY, "all have begun once more, unasked")

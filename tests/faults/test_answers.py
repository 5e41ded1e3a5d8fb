"""A3: the host dies between having a run on record and saying so; a client that asks again gets that run."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing

import checker
from faults_kit import Ground, until

from trunnion.model.runs import Invocation
from trunnion.protocol.client import Client
from trunnion.protocol.messages import call_frame

KEYS = 50


def ask_and_never_listen(ground: Ground, keys: list[str]) -> socket.socket:
    """Send all requests at once over a line whose answers nobody reads."""
    line = socket.socket(socket.AF_UNIX)
    line.connect(str(ground.socket))
    for number, key in enumerate(keys):
        params = {"command_id": "faults.quick", "args": {"token": key}, "idempotency_key": key}
        line.sendall(call_frame(number, "command.submit", params) + b"\n")
    return line


def on_record(ground: Ground) -> dict[str, str]:
    with closing(sqlite3.connect(f"file:{ground.data}/db/trunnion.sqlite?mode=ro", uri=True)) as db:
        return dict(db.execute("SELECT key, run_id FROM keys").fetchall())


async def ask_again(ground: Ground, client: Client, keys: list[str]) -> dict[str, str]:
    answers = {}
    for key in keys:
        run = await client.submit(Invocation(command_id="faults.quick", args={"token": key}, idempotency_key=key))
        ground.told.tell("accepted", key=key, run=run.id)
        answers[key] = run.id
    return answers


def test_a3_killed_between_commit_and_answer(ground: Ground, rounds: int, figure: Callable[..., None]) -> None:
    host, asked, unheard = ground.up(), 0, 0
    for number in range(max(rounds // 4, 5)):
        keys = [f"{number}-{n}" for n in range(KEYS)]
        with ask_and_never_listen(ground, keys):
            if number % 2:
                time.sleep(ground.random.uniform(0, 0.02))  # the fault's moment, not a wait for something
            else:
                until(lambda: on_record(ground).keys() & set(keys), "on record")  # noqa: B023 - used at once
            host.kill()
        known = {key: run for key, run in on_record(ground).items() if key in set(keys)}
        host = ground.up()
        answers = ground.talk(lambda client: ask_again(ground, client, keys))  # noqa: B023 - used at once
        assert {key: answers[key] for key in known} == known
        asked, unheard = asked + KEYS, unheard + len(known)
    ground.drained()
    assert host.stop() == 0
    figures = ground.judged()
    assert unheard > 0
    figure("calls asked again", asked)
    figure("of them on record and unanswered", unheard)
    figure("effects twice", figures.get("wrong.twice", 0))


def test_a3_without_the_fault(ground: Ground) -> None:
    """Answers are listened to, and asked for once more: the same runs."""
    host, keys = ground.up(), [str(number) for number in range(KEYS)]
    first = ground.talk(lambda client: ask_again(ground, client, keys))
    assert ground.talk(lambda client: ask_again(ground, client, keys)) == first
    ground.drained()
    assert host.stop() == 0
    ground.judged()


def test_a3_without_the_defence(ground: Ground) -> None:
    """A host that remembers no keys makes a second run of each, and the judge sees the second effect."""
    host, keys = ground.up(), [str(number) for number in range(KEYS)]
    with ask_and_never_listen(ground, keys):
        until(lambda: len(checker.lines_of(ground.effects)) == KEYS, "all at work")
        host.kill()
    known = on_record(ground)
    host = ground.up(without="forget_keys")
    answers = ground.talk(lambda client: ask_again(ground, client, keys))
    ground.drained()
    assert host.stop() == 0
    assert not known.items() & answers.items()
    assert len(ground.verdict().wrong["twice"]) == KEYS

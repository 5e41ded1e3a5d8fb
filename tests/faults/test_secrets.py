"""N4, N5: canaries on every way in and in every form, then a search of everything a host leaves and shows."""

from __future__ import annotations

from canaries_kit import Planted, Search, ask, shown
from faults_kit import Ground

from trunnion.model.runs import Invocation, Run
from trunnion.protocol.client import Client


def test_n4_two_hundred_canaries_are_found_nowhere(ground: Ground) -> None:
    planted = Planted(ground, 200)
    host = planted.up()
    planted.work()
    assert not planted.found(), shown(planted.found())  # with the write-ahead log as it is
    assert not planted.watched.wrong, planted.watched.wrong[:5]
    assert planted.watched.looks > 20
    assert planted.watched.given.keys() <= {*planted.programs[::4], planted.daemon[-1]}
    assert planted.watched.given
    host.kill()
    assert not planted.found(), shown(planted.found())
    host = planted.up()
    ground.drained()
    assert host.stop() == 0
    assert not planted.found(), shown(planted.found())
    print(f"{len(planted.recorded.received)} bytes received, {planted.watched.looks} looks at processes")


def test_n4_without_the_defence_they_are_found(ground: Ground) -> None:
    planted = Planted(ground, 20)
    planted.up(without="show_secrets")
    planted.work()
    found = planted.found()
    assert {"socket", "data/db/trunnion.sqlite-wal", "data/logs/host.jsonl"} <= found.keys(), found.keys()
    everywhere = set[str]().union(*found.values())
    assert everywhere == set(planted.secrets)


# -- what a program can do with its secret -----------------------------------------------------------------


def output_of(ground: Ground, run: Run) -> str:
    async def read(client: Client) -> str:
        return "".join([e.text async for batch in client.follow(f"run/{run.id}", live=False) for e in batch])

    return ground.talk(read)


def test_n5_a_program_echoes_its_secret_in_pieces_and_in_other_forms(ground: Ground) -> None:
    secret = f"{ground.random.getrandbits(64):016x}/ä'z"
    planted = Planted(ground, 5)
    planted.up()
    program = Invocation(command_id="scripts.by_env", args={"status": 1, "word": secret})
    run = ground.talk(lambda client: client.run(program))
    said = output_of(ground, run)
    assert not Search([secret]).found(said.encode())
    assert said.count("•••") >= 4 * 3 * 2 + 2
    assert run.error is not None
    assert "•••" in run.error.message


def test_n5_a_secret_of_several_lines_is_printed_in_pieces(ground: Ground) -> None:
    secret = "first-0123456789\nsecond-0123456789\nthird"
    Planted(ground, 5).up()
    said = output_of(ground, ask(ground, "canaries.pieces", word=secret))
    assert not [line for line in secret.split("\n") if line in said]
    assert "first-" not in said
    assert said.count("•••") == 4


def test_n5_other_codes_are_not_promised(ground: Ground) -> None:
    """The limit that docs/secrets.md states: what is written in a code that is not promised is shown."""
    secret = "hunter2-canary"
    Planted(ground, 5).up()
    hidden = {"word": secret, "text": secret.encode().hex()}
    run = ground.talk(lambda client: client.run(Invocation(command_id="canaries.given", args=hidden)))
    assert secret.encode().hex() in output_of(ground, run)
    assert secret not in output_of(ground, run)

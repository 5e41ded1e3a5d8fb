"""N6: the key of sealed secrets lost, wrong, rotated or half-rotated, and data that is copied without it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from canaries_kit import Planted, ask, shown
from faults_kit import Ground

from trunnion.access.sealing import Sealer
from trunnion.model.errors import TrunnionError
from trunnion.model.runs import Invocation


def lost(data: Path) -> None:
    (data / "secret.key").unlink()


def another(data: Path) -> None:
    from trunnion.access.key_file import make_key, write_key

    write_key(data / "secret.key", make_key())


def damaged(data: Path) -> None:
    content = (data / "secret.key").read_bytes()
    (data / "secret.key").write_bytes(content[:30])


def open_to_others(data: Path) -> None:
    (data / "secret.key").chmod(0o644)


@pytest.mark.parametrize(
    ("harm", "said", "seals"),
    [(lost, "is not there: put back", True), (another, "has the key", True),
     (damaged, "is damaged", False), (open_to_others, "chmod 600", False)],
)  # fmt: skip
def test_n6_without_its_key_the_store_names_it_and_the_host_works(
    ground: Ground, harm: Callable[[Path], None], said: str, seals: bool
) -> None:
    planted = Planted(ground, 5)
    planted.up()
    assert ask(ground, "secrets.set", name="canaries/s0", value=planted.stored[0]).status == "succeeded"
    assert ground.hosts[-1].stop() == 0
    harm(ground.data)
    planted.up()
    run = ask(ground, "canaries.stored", name="s0")
    assert (run.status, run.error and run.error.code) == ("failed", "unavailable")
    assert run.error is not None
    assert said in run.error.message
    assert str(ground.data / "secret.key") in run.error.message
    assert ask(ground, "canaries.child", text="x").result == "x"
    if seals:
        assert ask(ground, "canaries.given", word="hunter2-canary").status == "succeeded"
        assert ask(ground, "secrets.set", name="canaries/s0", value=planted.stored[0]).status == "succeeded"
        assert ask(ground, "canaries.stored", name="s0").status == "succeeded"
    else:
        with pytest.raises(TrunnionError, match=said):
            ask(ground, "canaries.given", word="hunter2-canary")
    assert not planted.found(), shown(planted.found())


def given_again(ground: Ground, harm: Callable[[Path], None], without: str = "none") -> str:
    """What becomes of a run that asks for its secret once something was done to the key while no host ran."""
    planted = Planted(ground, 5)
    planted.up()
    assert ask(ground, "secrets.set", name="canaries/s0", value=planted.stored[0]).status == "succeeded"
    assert ground.hosts[-1].stop() == 0
    harm(ground.data)
    planted.up(without)
    return ask(ground, "canaries.stored", name="s0").status


def test_n6_without_the_fault_a_restart_is_no_harm(ground: Ground) -> None:
    assert given_again(ground, lambda data: None) == "succeeded"


def test_n6_without_the_defence_a_key_everybody_has_read_opens_the_store(ground: Ground) -> None:
    assert given_again(ground, open_to_others, "trust_any_key") == "succeeded"


def test_n6_a_copy_of_the_data_without_the_key_tells_nothing(
    ground: Ground, make_ground: Callable[..., Ground]
) -> None:
    planted = Planted(ground, 5)
    planted.up()
    assert ask(ground, "secrets.set", name="canaries/s0", value=planted.stored[0]).status == "succeeded"
    assert ground.hosts[-1].stop() == 0
    elsewhere = make_ground("elsewhere")
    copy = Planted(elsewhere, 5)
    shutil.copytree(ground.data, elsewhere.data, ignore=shutil.ignore_patterns("secret.key", "run", "*.lock"))
    copy.up()
    listed = elsewhere.talk(lambda client: client.query("secrets.list"))
    assert [(item["name"], item["readable"]) for item in listed["items"]] == [("canaries/s0", False)]
    assert not planted.search.found(b"".join(p.read_bytes() for p in elsewhere.data.rglob("*") if p.is_file()))


@pytest.mark.parametrize("moment", ["begun", "documents", "runs", "finished"])
def test_n6_killed_while_the_key_is_changed(ground: Ground, moment: str) -> None:
    planted = Planted(ground, 5)
    host = planted.ground.start(without="die_rotating", DIE_AT=moment, **planted.env).wait_ready()
    assert ask(ground, "secrets.set", name="canaries/s0", value=planted.stored[0]).status == "succeeded"
    waiting = Invocation(
        command_id="canaries.given", args={"word": planted.args[0]}, not_before=int(time.time() * 1e6) + 3_600_000_000
    )
    run = ground.talk(lambda client: client.submit(waiting))
    key = (ground.data / "secret.key").read_bytes()
    with pytest.raises(TrunnionError):
        ask(ground, "secrets.rotate")
    host.process.wait(20)
    planted.up()
    assert (ground.data / "secret.key").read_bytes() != key
    assert not list(ground.data.glob("secret.key.*"))
    assert ask(ground, "canaries.stored", name="s0").status == "succeeded"
    sealed = sqlite3.connect(ground.data / "db" / "trunnion.sqlite")
    try:
        ((row,),) = sealed.execute("SELECT sealed FROM live WHERE sealed IS NOT NULL").fetchall()
    finally:
        sealed.close()
    assert (
        Sealer(ground.data / "secret.key").open(run.id, row)
        == json.dumps({"word": planted.args[0]}, ensure_ascii=False, separators=(",", ":")).encode()
    )
    assert not planted.found(), shown(planted.found())

"""R4: intent is on record before the effect, whatever becomes of the host and of its disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults_kit import Ground, tagged, tell, until
from test_full import NAMESPACE, may_mount, submitted

from trunnion.model.errors import TrunnionError
from trunnion.protocol.client import Client
from trunnion_audit.verify import verify

SMALL = 256 << 10
MOUNT_AUDIT = f'mount -t tmpfs -o size={SMALL},mode=0700 none "$0" && exec "$@"'


def records(folder: Path) -> list[dict[str, Any]]:
    """What is on record, whole lines only, in order."""
    found = []
    for path in sorted(folder.glob("audit-*.jsonl")):
        found += [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    numbers = [record["n"] for record in found]
    assert numbers == list(range(1, len(found) + 1))
    return found


def effects(ground: Ground) -> set[str]:
    """The runs that did something, as they themselves wrote it down."""
    if not ground.effects.exists():
        return set()
    return {json.loads(line)["run"] for line in ground.effects.read_text().splitlines()}


def of(kind: str, found: list[dict[str, Any]]) -> set[str]:
    return {record["run"] for record in found if record["kind"] == kind}


def test_o14_no_effect_without_intent_and_no_intent_without_an_end(
    make_ground: Callable[..., Ground], rounds: int, figure: Callable[..., None]
) -> None:
    ground = make_ground()
    ground.only += ",audit"
    kills = max(5, rounds // 4)
    host = ground.up()
    ground.load(processes=2)
    for _ in range(kills):
        ground.wait_for_load(runs=len(effects(ground)) + 10)
        time.sleep(ground.random.uniform(0.01, 0.3))  # the fault's moment, not a wait for something
        host.kill()
        left = tagged(ground.tag)
        without = effects(ground) - of("intent", records(ground.data / "audit"))
        assert not without, f"seed {ground.seed}: {without}"
        host = ground.up()
        ground.orphans_gone(left)
    ground.close_load()
    ground.drained()
    assert host.stop() == 0, host.said()
    found = records(ground.data / "audit")
    intents = of("intent", found)
    assert effects(ground) <= intents
    ended = of("outcome", found) | of("missing", found) | of("refusal", found)
    assert intents <= ended, f"seed {ground.seed}: {sorted(intents - ended)[:5]}"
    ground.judged()
    report = verify(ground.data / "audit")
    assert report.verdict == "intact", "\n".join(report.lines())
    tell("O14", {"seed": ground.seed, "kills": kills, "intents": len(intents)})
    figure("kills", kills)
    figure("intents", len(intents))
    figure("effects without intent", 0)
    figure("intents without an end", 0)


class SmallAudit:
    """The audit on a small disk of its own, which only the host has mounted; a large file gives space back."""

    def __init__(self, ground: Ground) -> None:
        place = ground.data / "audit"
        place.mkdir(mode=0o700, parents=True)
        ground.data.chmod(0o700)
        ground.only += ",audit"
        self.host = ground.start(wrapper=[*NAMESPACE, "sh", "-c", MOUNT_AUDIT, str(place)])
        self.folder = Path(f"/proc/{self.host.pid}/root{place}")
        self.host.wait_ready()
        self._filler = self.folder / "filler"
        self._filler.write_bytes(bytes(SMALL // 2))

    def heal(self) -> None:
        self._filler.unlink()


async def until_refused(client: Client, ground: Ground) -> TrunnionError:
    """Submit small runs until one is refused."""
    for number in range(10_000):
        try:
            await submitted(ground, client, "quick", f"small-{number}")
        except TrunnionError as error:
            return error
    raise AssertionError("the disk was never full")


async def full_and_healed(client: Client, ground: Ground, small: SmallAudit) -> float:
    """Fill the disk of the audit, see commands refused, give space back; seconds until one is taken again."""
    refused = await until_refused(client, ground)
    assert refused.code == "unavailable" and "No space left" in refused.message, refused
    done = effects(ground)
    for number in range(50):
        with pytest.raises(TrunnionError, match="cannot be put on record"):
            await submitted(ground, client, "quick", f"refused-{number}")
    assert effects(ground) == done <= of("intent", records(small.folder))
    # What reads goes on.
    assert await client.query("runs.list", {"limit": 1})
    small.heal()
    begun = time.monotonic()
    await submitted(ground, client, "quick", "healed")
    return time.monotonic() - begun


@pytest.mark.skipif(not may_mount(), reason="this system lets nobody mount a small disk")
def test_b2_a_full_disk_of_the_audit_refuses_commands_and_heals(
    make_ground: Callable[..., Ground], figure: Callable[..., None]
) -> None:
    ground = make_ground()
    small = SmallAudit(ground)
    took = ground.talk(lambda client: full_and_healed(client, ground, small))
    ground.drained()
    until(lambda: of("intent", records(small.folder)) <= of("outcome", records(small.folder)), "all ends are on record")
    found = records(small.folder)
    assert effects(ground) == of("intent", found) - of("refusal", found)
    told = [record["action"] for record in found if record["kind"] == "admin"][1:]
    # More than once where a small batch still fits in what a large one did not.
    assert told and told == ["audit.fault", "audit.heal"] * (len(told) // 2)
    figure("effects without intent", 0)
    figure("commands are taken again, once there is space, after", round(took, 2), "s")
    assert small.host.stop() == 0, small.host.said()

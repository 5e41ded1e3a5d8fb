"""The host is killed under load, at random moments, again and again; then the record is judged offline."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from faults_kit import Ground, tagged, tell


def rounds_of_kills(ground: Ground, rounds: int, *, runs: int, events: int) -> dict[str, object]:
    """Kill and restart under load, then let everything come to its end; the figures of the hosts.

    The load goes on until more than so many runs were accepted and so many events seen, however slow the machine is.
    """
    host = ground.up()
    ground.load()
    slowest = 0.0
    for _ in range(rounds):
        time.sleep(ground.random.uniform(0.05, 1.5))  # the fault's moment, not a wait for something
        host.kill()
        left = tagged(ground.tag)
        host = ground.up()
        slowest = max(slowest, host.ready_after)
        ground.orphans_gone(left)
    ground.wait_for_load(runs, events)
    ground.close_load()
    ground.drained()
    assert host.stop() == 0, host.said()
    return {"seed": ground.seed, "rounds": rounds, "slowest_start": round(slowest, 2)}


def test_a1_kill_at_random_instants_under_load(
    make_ground: Callable[..., Ground], rounds: int, figure: Callable[..., None]
) -> None:
    ground = make_ground(with_intents=True)
    kills = rounds if rounds > 20 else 8
    about = rounds_of_kills(ground, kills, runs=10 * kills, events=100 * kills)
    figures = ground.judged()
    tell("A1", {**about, **figures})
    assert figures["acknowledged"] > 10 * kills
    assert figures["status.interrupted"] > 0
    assert figures["cancels answered"] > 0
    assert figures["events seen"] > 100 * kills
    assert figures["intents"] > 10 * kills
    # Nobody was turned away for a reason other than the kills.
    refusals = [line for line in ground.history.read_text().splitlines() if '"refused"' in line]
    assert not refusals, refusals[:5]
    assert about["slowest_start"] <= 5.0  # type: ignore[operator]
    figure("kills", kills)
    figure("acknowledged runs", figures["acknowledged"])
    figure("of them lost, left running or wrongly told", 0)
    figure("events seen by followers", figures["events seen"])
    figure("slowest start", about["slowest_start"], "s")


def test_a1_with_a_store_in_a_process_of_its_own(make_ground: Callable[..., Ground], rounds: int) -> None:
    """The writer of a killed host may be in the middle of a commit; the next host waits for its end."""
    ground = make_ground(durability="power")
    about = rounds_of_kills(ground, max(rounds // 5, 4), runs=0, events=0)
    figures = ground.judged()
    tell("A1 power", {**about, **figures})
    assert figures["acknowledged"] > 0
    assert figures["events seen"] > 0


def test_a1_without_the_fault(ground: Ground) -> None:
    """The same load, the same checks, nobody killed: nothing is interrupted."""
    host = ground.up()
    ground.load()
    ground.wait_for_load(runs=20)
    time.sleep(1.0)  # the length of the load, not a wait for something
    ground.close_load()
    ground.drained()
    assert host.stop() == 0, host.said()
    figures = ground.judged()
    tell("A1 without the fault", {"seed": ground.seed, **figures})
    assert figures["acknowledged"] > 20
    assert "status.interrupted" not in figures


@pytest.mark.parametrize(
    ("defence", "laws"),
    [
        ("answer_early", {"lost", "seen", "unrecorded"}),
        ("act_first", {"unintended"}),
        ("leave_running", {"running"}),
        ("forget_keys", {"key"}),
        ("run_again", {"twice"}),
        ("forget_cancels", {"cancel"}),
        ("end_twice", {"terminal"}),
    ],
)
def test_a1_without_the_defence(make_ground: Callable[..., Ground], defence: str, laws: set[str]) -> None:
    """Each check is able to fail: without its defence the verdict names the very law."""
    ground = make_ground(with_intents=True)
    host = ground.up(without=defence)
    ground.load(processes=2)
    for _ in range(20):
        time.sleep(ground.random.uniform(0.3, 0.6))  # the fault's moment, not a wait for something
        host.kill()
        host = ground.up(without=defence)
        if laws <= ground.verdict().wrong.keys():
            break
    else:
        raise AssertionError(f"seed {ground.seed}: without {defence} only {ground.verdict().figures()}")
    host.kill()

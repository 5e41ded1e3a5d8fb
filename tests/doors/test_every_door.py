"""I4: the same call at every door gives the same decision, error, result, events and record."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from doors_kit.call import Call
from doors_kit.calls import calls
from doors_kit.doors import DoorUnderTest, InProcess, LauncherProcess, doors_of, remote_doors_of
from doors_kit.served import PEOPLE, Served
from doors_kit.trial import Trial
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

COUNT = 300
HEAVY_COUNT = 10_000
PROCESSES = 12
CODES = {
    "invalid_arguments",
    "not_found",
    "failed",
    "internal",
    "busy",
    "conflict",
    "forbidden",
    "unavailable",
    "deadline_exceeded",
    "cancelled",
    "stale_meta",
}
PEOPLE_NAMES = st.sampled_from([*PEOPLE, "otto", "adam", "gina"])


def put_to(
    served: Served,
    doors: Sequence[DoorUnderTest],
    number: int,
    chosen_seed: int,
    made: st.SearchStrategy[Call] | None = None,
    phases: Sequence[Phase] = (Phase.generate, Phase.shrink),
) -> Trial:
    """Put made-up calls to some doors; the first difference fails, made as small as possible."""
    trial = Trial(served, doors)

    @seed(chosen_seed)
    @settings(max_examples=number, deadline=None, database=None, phases=phases, suppress_health_check=list(HealthCheck))
    @given(made if made is not None else calls())
    def holds(call: Call) -> None:
        found = trial.differences(call)
        assert not found, f"TRUNNION_SEED={chosen_seed:x}\n{call}\n" + "\n".join(found)

    holds()
    return trial


def test_i4_the_same_call_at_every_door(served: Served, chosen_seed: int) -> None:
    trial = put_to(served, doors_of(served), COUNT, chosen_seed)
    trial.tell("I4", chosen_seed)
    trial.check_not_vacuous({"well", "invalid_arguments", "not_found", "failed", "internal"})


@pytest.mark.heavy
def test_i4_ten_thousand_calls(served: Served, chosen_seed: int) -> None:
    trial = put_to(served, doors_of(served), HEAVY_COUNT, chosen_seed)
    trial.tell("I4", chosen_seed)
    trial.check_not_vacuous({"well", *CODES})


@pytest.mark.heavy
def test_i4_ten_thousand_calls_of_people(served: Served, chosen_seed: int) -> None:
    trial = put_to(served, remote_doors_of(served), HEAVY_COUNT, chosen_seed, calls(who=PEOPLE_NAMES))
    trial.tell("I4, people", chosen_seed)
    trial.check_not_vacuous({"well", "unauthenticated", *CODES})


def test_i4_processes_of_their_own(served: Served, chosen_seed: int) -> None:
    trial = put_to(served, [InProcess(served), LauncherProcess(served)], PROCESSES, chosen_seed)
    trial.tell("I4, processes", chosen_seed)
    assert trial.compared.total() > PROCESSES / 3


def test_i4_people_who_prove_who_they_are(served: Served, chosen_seed: int) -> None:
    """Whoever is not the owner meets the same decision at every remote door that opens the same things."""
    trial = put_to(served, remote_doors_of(served), COUNT, chosen_seed, calls(who=PEOPLE_NAMES))
    trial.tell("I4, people", chosen_seed)
    trial.check_not_vacuous({"well", "forbidden", "not_found", "unauthenticated", "invalid_arguments"})

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from faults_kit import Ground, descriptors

# Read before the environment is cleaned of our own variables for the tests.
SEED = os.environ.get("TRUNNION_SEED") or f"{random.SystemRandom().getrandbits(32):08x}"
ROUNDS = int(os.environ.get("TRUNNION_FAULT_ROUNDS") or os.environ.get("ROUNDS") or 20)


def pytest_report_header() -> str:
    return f"faults: TRUNNION_SEED={SEED} ROUNDS={ROUNDS}"


@pytest.fixture
def rounds() -> int:
    """How often the main row is repeated; others scale with it."""
    return ROUNDS


@pytest.fixture
def make_ground(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Ground]]:
    """Makes places for hosts; afterwards nothing of them may be alive, open or lying about."""
    made: list[Ground] = []

    def make(name: str = "ground", **options: Any) -> Ground:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        made.append(Ground(root, f"{SEED}/{request.node.name}", **options))
        return made[-1]

    print(f"TRUNNION_SEED={SEED}")
    before = descriptors()
    yield make
    for ground in made:
        ground.close()
    assert descriptors() == before


@pytest.fixture
def ground(make_ground: Callable[..., Ground]) -> Ground:
    return make_ground()

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from faults_kit import Ground, descriptors, until
from figures import SEED


@pytest.fixture
def make_ground(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Ground]]:
    """Makes places for hosts; afterwards nothing of them may be alive, open or lying about."""
    made: list[Ground] = []

    def make(name: str = "ground", **options: Any) -> Ground:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        made.append(Ground(root, f"{SEED}/{request.node.name}", **options))
        return made[-1]

    before, threads = descriptors(), threading.active_count()
    yield make
    for ground in made:
        ground.close()
    assert descriptors() == before
    until(lambda: threading.active_count() <= threads, "no thread is left")


@pytest.fixture
def ground(make_ground: Callable[..., Ground]) -> Ground:
    return make_ground()

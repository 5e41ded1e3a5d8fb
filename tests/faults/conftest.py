from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from faults_kit import Ground, descriptors, until
from figures import SEED


@pytest.fixture(scope="module", autouse=True)
def unmeasured() -> Iterator[None]:
    """Processes that these tests start run as fast, and in as much memory, as they do for a user.

    With coverage in each of them the moments of faults, the times and the memory that are judged would be those of
    coverage. What it counts is shown by the tests of the parts, and by what these do in the process of the tests.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
            patch.delenv(name)
        yield


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

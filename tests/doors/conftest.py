"""One host for all tests of this folder, and how many calls are made up."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from doors_kit.served import Served

# Read before the environment is cleaned of our own variables for the tests.
SEED = int(os.environ.get("TRUNNION_SEED") or f"{random.SystemRandom().getrandbits(32):x}", 16)


def pytest_report_header() -> str:
    return f"doors: TRUNNION_SEED={SEED:x}"


@pytest.fixture(scope="session")
def chosen_seed() -> int:
    return SEED


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, stranger: Path) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("doors"))
    yield made
    made.close()

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "kernel")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"

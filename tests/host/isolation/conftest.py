from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "kernel"))
sys.path.insert(0, str(Path(__file__).parent))

from kernel_kit import Rig, rig


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Rig]]:
    """``async with start(command, ...) as rig``: a host in this process, on this test's own directory."""
    return partial(rig, tmp_path)

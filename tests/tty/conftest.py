from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from wire_kit import Plant, Wire, hosted

from trunnion import Host


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def plant() -> Plant:
    return Plant()


@pytest.fixture
async def host(tmp_path: Path, plant: Plant) -> AsyncIterator[Host]:
    """A host in this process, on a socket of its own."""
    async with hosted(tmp_path, plant) as running:
        yield running


@pytest.fixture
async def wire(tmp_path: Path, host: Host) -> AsyncIterator[Wire]:
    """A line to it."""
    made = Wire(tmp_path / "wire", host.data.socket)
    await made.up()
    yield made
    await made.down()

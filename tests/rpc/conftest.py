from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rpc_kit import Raw, Rpc, opened

from trunnion_rpc.client import Client


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Rpc]:
    async with opened(tmp_path) as running:
        yield running


@pytest.fixture
async def client(host: Rpc) -> AsyncIterator[Client]:
    async with host.client() as connected:
        yield connected


@pytest.fixture
async def raw(host: Rpc) -> AsyncIterator[Raw]:
    async with Raw(host.socket) as channel:
        yield channel

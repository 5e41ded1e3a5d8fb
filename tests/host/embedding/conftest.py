"""A host of a test's own, as a program embeds it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from trunnion import Host, HostOptions

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def embed(tmp_path: Path):
    """``embed(Host or BlockingHost, name, ...)``: one on a data directory of its own, quick to stop."""

    def embed(kind: type = Host, name: str = "data", overrides: tuple[str, ...] = (), **given: object):
        quick = ("executor.shutdown_grace=0.2", "executor.cancel_grace=2", "store.durability=memory")
        options = HostOptions(data_dir=tmp_path / name, overrides=(*quick, *overrides))
        return kind(options, **{"discovery": False, **given})

    return embed

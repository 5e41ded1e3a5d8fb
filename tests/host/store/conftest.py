from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from backup_kit import fill
from store_kit import DURABILITIES, ON_DISK, Bench, opened

from trunnion.store.factory import database_path

VERSION_1 = Path(__file__).with_name("version1.sql")


@pytest.fixture(params=DURABILITIES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with opened(request.param, tmp_path) as bench:
        yield bench


@pytest.fixture(params=ON_DISK)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with opened(request.param, tmp_path) as bench:
        yield bench


@pytest.fixture
def version1(tmp_path: Path) -> Path:
    """A data directory as a host left it before there were documents."""
    path = database_path(tmp_path)
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_1.read_text(encoding="utf-8"))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    return tmp_path


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Bench]:
    """A data directory with some of everything, its store open."""
    root = tmp_path / "data"
    root.mkdir()
    with opened("process", root) as bench:
        fill(bench)
        yield bench

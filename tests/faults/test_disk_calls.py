"""B4: the N-th call to the disk fails, for every N until everything passes untouched."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from disk_kit import compiled, environment, run_child
from figures import SEED

CASES = [
    *[("process", error, "once") for error in (errno.EIO, errno.ENOSPC, errno.EINTR, errno.EMFILE)],
    *[("process", error, "onwards") for error in (errno.EIO, errno.ENOSPC, errno.EMFILE)],
    ("power", errno.EIO, "once"),
    ("power", errno.ENOSPC, "onwards"),
]
STRIDE = {"process": 45, "power": 300}
"""In a short round one call of so many fails; which ones, the seed decides."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("library"))


def work(library: Path, tmp_path: Path, *args: object) -> list[int]:
    root = tmp_path.resolve() / "disk"
    root.mkdir()
    said = run_child("io_child.py", root, f"{root}.state", *args, env=environment(library, root))
    return [int(word) for word in said.split()]


@pytest.mark.parametrize(("durability", "error", "mode"), CASES)
def test_b4_nth_call_fails(
    library: Path, tmp_path: Path, rounds: int, figure: Callable[..., None], durability: str, error: int, mode: str
) -> None:
    """Defences found by it: ``Upkeep`` lives through an ``OSError``; a folder that cannot be made is named."""
    stride = max(1, STRIDE[durability] * 20 // rounds)
    first = random.Random(f"{SEED}/{durability}/{error}/{mode}").randint(1, stride)
    calls, tried = work(library, tmp_path, durability, error, mode, stride, first)
    figure(f"calls made to fail, {durability}, {errno.errorcode[error]} {mode}", f"{tried} of {calls}")


def test_b4_without_the_fault(library: Path, tmp_path: Path) -> None:
    assert work(library, tmp_path, "process", errno.EIO, "once", 1, 10**9) == [10**9, 1]


def test_b4_without_the_defence(library: Path, tmp_path: Path) -> None:
    """A store that does not forget what a failed batch would have changed cannot go on."""
    with pytest.raises(AssertionError, match="do not follow"):
        work(library, tmp_path, "process", errno.EIO, "once", 7, 1, "reload")

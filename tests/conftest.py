"""For every test: no setting, file or data of the person who runs it is seen or touched."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Rows of the fault matrix are tested in several folders; all report to one place.
sys.path.insert(0, str(Path(__file__).parent / "faults"))
pytest_plugins = ["figures"]


@pytest.fixture(scope="session", autouse=True)
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home, also for the processes that tests start."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        # What the set-up has downloaded is not downloaded again by tests that install.
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv"
        patch.setenv("UV_CACHE_DIR", os.environ.get("UV_CACHE_DIR", str(cache)))
        for name in os.environ:
            if name.startswith(("TRUNNION_", "XDG_")) and not name.startswith("TRUNNION_FAULT"):
                patch.delenv(name)
        patch.delenv("STATE_DIRECTORY", raising=False)
        patch.delenv("INVOCATION_ID", raising=False)
        patch.setenv("HOME", str(home))
        yield home

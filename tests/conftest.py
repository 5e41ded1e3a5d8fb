"""For every test: no setting, file or data of the person who runs it is seen or touched."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Rows of the fault matrix are tested in several folders; all report to one place.
sys.path.insert(0, str(Path(__file__).parent / "faults"))
sys.path.append(str(Path(__file__).parent))
pytest_plugins = ["alone", "figures"]


def pytest_configure() -> None:
    """Examples are the same at each run, and none has to be quick; with more rounds they are new ones each time."""
    from figures import DEFAULT_ROUNDS, ROUNDS

    ci = settings.get_profile("ci")
    settings.register_profile("trunnion", ci, derandomize=ROUNDS <= DEFAULT_ROUNDS)
    settings.load_profile("trunnion")


def pytest_collection_finish() -> None:
    """What was collected stays to the end: whoever collects garbage, as each census does, need not look at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home, also for the processes that tests start."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        # What the set-up has downloaded is not downloaded again by tests that install.
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv"
        patch.setenv("UV_CACHE_DIR", os.environ.get("UV_CACHE_DIR", str(cache)))
        patch.setenv("NPM_CONFIG_CACHE", os.environ.get("NPM_CONFIG_CACHE", str(Path.home() / ".npm")))
        for name in os.environ:
            if name.startswith(("TRUNNION_", "XDG_")) and not name.startswith("TRUNNION_FAULT"):
                patch.delenv(name)
        patch.delenv("STATE_DIRECTORY", raising=False)
        patch.delenv("INVOCATION_ID", raising=False)
        patch.setenv("HOME", str(home))
        yield home


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C ends the processes that tests start; a shell that starts us in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)

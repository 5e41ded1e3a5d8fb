from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from installed_kit import PROJECTS, build


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of each distribution; the checkout is only read."""
    folder = tmp_path_factory.mktemp("wheels")
    for project in PROJECTS:
        build(project, folder)
    return folder

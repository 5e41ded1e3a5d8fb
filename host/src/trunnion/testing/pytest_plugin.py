"""The fixture ``trunnion_host``. Pytest loads this in every run, so it imports nothing before a test asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from typing import Unpack

    from trunnion.testing.hosting import Hosting, HostingArguments


@pytest.fixture
def trunnion_host(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Hosting]:
    """Makes a host for this test.

    ``with trunnion_host(plugins=["diary"]) as host:``, or ``async with`` in an asynchronous test. It takes what
    ``trunnion.testing.Hosting`` takes. The data stays in pytest's own temporary folder, to be looked
    at when a test fails.
    """

    def make(**asked: Unpack[HostingArguments]) -> Hosting:
        from trunnion.testing.hosting import Hosting

        asked.setdefault("data_dir", tmp_path_factory.mktemp("trunnion"))
        return Hosting(**asked)

    return make

"""The kit for plugin authors: a host for tests, a clock that stands still, and the contract a plugin keeps.

Each name is imported when it is first used, so that pytest can load the plugin of the kit for next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trunnion.testing.blocking import BlockingHarness
    from trunnion.testing.check import check_plugin
    from trunnion.testing.clock import FakeClock
    from trunnion.testing.harness import Harness
    from trunnion.testing.hosting import Hosting
    from trunnion.testing.report import Finding, Report

_PLACES = {
    "BlockingHarness": "blocking",
    "FakeClock": "clock",
    "Finding": "report",
    "Harness": "harness",
    "Hosting": "hosting",
    "Report": "report",
    "check_plugin": "check",
}

__all__ = ["BlockingHarness", "FakeClock", "Finding", "Harness", "Hosting", "Report", "check_plugin"]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'trunnion.testing' has no attribute {name!r}")
    return getattr(import_module(f"trunnion.testing.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

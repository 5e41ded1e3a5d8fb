"""Defences against plugins, to be taken out by ``sabotage.py``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from trunnion.model.contributions import PluginRecord
from trunnion.plugins import asking, load
from trunnion.plugins.contained import Patience
from trunnion.plugins.discover import Candidate

T = TypeVar("T")


def let_plugins_through() -> None:
    """Call plugins as one calls anything: what they raise is raised in the host."""

    def bare(call: Callable[[], T], what: str, patience: Patience) -> T:
        return call()

    load.contained = asking.contained = bare  # type: ignore[attr-defined]


def load_first() -> None:
    """Import whatever is installed before anything about it is judged."""
    judge = load._Loader._judge

    def loaded(self: load._Loader, candidate: Candidate, same_id: Sequence[Candidate]) -> PluginRecord:
        with suppress(Exception):
            candidate.load()
        return judge(self, candidate, same_id)

    load._Loader._judge = loaded  # type: ignore[method-assign]


def take_half() -> None:
    """Keep of a plugin what could be registered before it turned out to be broken."""
    load._Loader._checked_hooks = lambda self, name, plugin: ("trunnion_commands", "trunnion_queries")  # type: ignore[method-assign]

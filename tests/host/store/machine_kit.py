"""State machines over a store: each is run for every durability."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import ClassVar
from unittest import TestCase

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine
from store_kit import DURABILITIES, Bench

from trunnion.store import Durability

LONG = settings(max_examples=12, stateful_step_count=12, deadline=None)
SHORT = settings(max_examples=4, stateful_step_count=8, deadline=None)
"""For the store in a process of its own, which takes a while to start."""


class StoreMachine(RuleBasedStateMachine):
    """Has a store in a folder of its own."""

    durability: ClassVar[Durability] = "process"

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.bench = Bench(self.durability, Path(self.folder.name))

    def teardown(self) -> None:
        self.bench.close()
        self.folder.cleanup()


def on_every_store(machine: type[StoreMachine]) -> dict[str, type[TestCase]]:
    """The test classes of a machine, by the names pytest finds them under."""
    found: dict[str, type[TestCase]] = {}
    for durability in DURABILITIES:
        case = type(f"{machine.__name__}On{durability}", (machine,), {"durability": durability}).TestCase
        case.settings = SHORT if durability == "power" else LONG
        found[f"Test{durability.title()}"] = case
    return found

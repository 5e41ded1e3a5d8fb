"""A host with ten thousand commands: what a key costs does not grow with what it offers.

Counted is how often it is found out what a name stands for, which is what takes its time.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from trunnion import Json
from trunnion_tty import checking
from trunnion_tty.catalog import Catalog, Entry
from trunnion_tty.checking import check
from trunnion_tty.completing import MOST, offer
from trunnion_tty.reading import Place
from trunnion_tty.verbs import declared

COUNT = 10_000


class Counted(Catalog):
    """Counts looks at names."""

    looks = 0

    def find(self, name: str, console: str) -> Entry | None:
        self.looks += 1
        return super().find(name, console)


def place(name: str, console: str = "") -> tuple[Counted, Place]:
    commands: list[Json] = [{"id": name.format(number // 100, number % 100), "title": "x"} for number in range(COUNT)]
    meta: Mapping[str, Json] = {"commands": commands, "consoles": [{"path": f"d{n}"} for n in range(100)]}
    catalog = Counted(meta)
    return catalog, Place(catalog, declared(), {}, console)


@pytest.mark.parametrize(
    ("name", "console", "typed", "found"),
    [
        ("d{}.read{}", "", "d7.", 100),
        ("d{}.read{}", "", "d7.read42", 1),
        ("d{}.read{}", "d7", "r", 101),
        ("d{}.read{}", "d7", ".d9.read1", 11),
        ("d{}-{}", "", "d", MOST),
        ("d{}-{}", "", "", MOST),
        ("d{}-{}", "", "d77-1", 11),
    ],
)
def test_q5_offering_names_looks_at_those_that_fit(name: str, console: str, typed: str, found: int) -> None:
    """Defence: ``Catalog._beginning``, and that what nobody reads is not made: a key took a tenth of a second."""
    catalog, at = place(name, console)
    assert len(offer(typed, at, None).proposals) == found
    assert catalog.looks <= 10 * MOST


def test_a_name_that_nothing_has_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: ``_close`` is remembered: what stands behind such a name is typed key by key."""
    catalog, at = place("d{}.read{}")
    asked: list[str] = []
    nearest = checking.nearest
    monkeypatch.setattr(checking, "nearest", lambda name, known: asked.append(name) or nearest(name, known))
    for end in range(12):
        assert "did you mean d7.read42" in str(check("d7.reed42 " + "x" * end, at, whole=False))
    assert asked == ["d7.reed42"]
    assert catalog.looks < 100

"""B8: the power goes at any moment of a store at work; what was promised is there, and all of it is whole."""

from __future__ import annotations

import json
import random
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from disk_kit import VARIANTS, Variant, calls, compiled, cuts, environment, lay_out, run_child
from figures import SEED

RUNS = 200
SOME = 12
"""Moments that are tried in a short round, each in every variant."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("library"))


def recorded(library: Path, tmp_path: Path, durability: str, runs: int) -> tuple[Path, Path]:
    root, journal = tmp_path.resolve() / "disk", tmp_path / "journal"
    root.mkdir()
    run_child("power_child.py", root, durability, runs, env=environment(library, root, journal=journal))
    return root, journal


class Found:
    """What a data directory has after a power cut. Knows the tables, and nothing of the host's code."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.ended: dict[str, tuple[int, int]] = {}
        self.live: dict[str, int] = {}
        self.kept: set[str] = set()
        self.documents: dict[str, int] = {}
        self.wrong: list[str] = []
        self.events: dict[int, int] = {}
        path = data / "db" / "trunnion.sqlite"
        if path.exists() and path.stat().st_size:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA synchronous = OFF")
                if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    self._read(connection)

    def _read(self, connection: sqlite3.Connection) -> None:
        check = connection.execute("PRAGMA quick_check").fetchone()[0]
        if check != "ok":
            self.wrong.append(check)
        for num, run_id, last, crc, doc in connection.execute("SELECT num, id, last, crc, doc FROM runs"):
            self.ended[run_id] = (num, last)
            if zlib.crc32(doc) != crc:
                self.wrong.append(f"record of {run_id}")
        for num, doc in connection.execute("SELECT num, doc FROM live"):
            self.live[json.loads(doc)["id"]] = num
        if connection.execute("PRAGMA user_version").fetchone()[0] >= 2:
            self.documents = dict(connection.execute("SELECT key, revision FROM documents"))
        self._read_events(connection)
        for artifact_id, run_id, size in connection.execute("SELECT id, run_id, size FROM artifacts"):
            self.kept.add(artifact_id)
            path = self.data / "artifacts" / run_id / artifact_id
            if not path.exists() or path.read_bytes() != artifact_id[1:].encode() * 300 or path.stat().st_size != size:
                self.wrong.append(f"file of artifact {artifact_id}")

    def _read_events(self, connection: sqlite3.Connection) -> None:
        names = {num: run_id for run_id, (num, _) in self.ended.items()}
        names.update((num, run_id) for run_id, num in self.live.items())
        query = "SELECT stream, first, last, codec, crc, data FROM chunks WHERE stream > 0 ORDER BY stream, first"
        for stream, first, last, codec, crc, data in connection.execute(query):
            if zlib.crc32(data) != crc or first != self.events.get(stream, 0) + 1:
                self.wrong.append(f"events {first} to {last} of {names.get(stream)}")
            self.events[stream] = last
            if codec & 2:
                self._look_at_texts(names[stream], zlib.decompress(data) if codec & 1 else data)

    def _look_at_texts(self, run_id: str, lines: bytes) -> None:
        output = self.data / "artifacts" / run_id / "output"
        content = output.read_bytes() if output.exists() else b""
        for line in lines.splitlines():
            if span := span_of(json.loads(line)):
                text = content[span[0] : sum(span)]
                if len(text) != span[1] or len(set(text)) != 1:
                    self.wrong.append(f"text of {run_id}")

    def broken(self, promises: list[str]) -> list[str]:
        """Promises that are not kept."""
        keeps: dict[str, Callable[..., bool]] = {
            "accepted": lambda run_id: run_id in self.ended or run_id in self.live,
            "event": lambda run_id, seq: self._last(run_id) >= int(seq),
            "ended": lambda run_id, seq: self.ended.get(run_id, (0, 0))[1] == int(seq) == self._last(run_id),
            "kept": lambda _run_id, artifact_id, _size: artifact_id in self.kept,
            "document": lambda key, revision: self.documents.get(key, 0) >= int(revision),
        }
        return [line for line in promises if not keeps[line.split()[0]](*line.split()[1:])]

    def _last(self, run_id: str) -> int:
        num = self.ended[run_id][0] if run_id in self.ended else self.live.get(run_id, 0)
        return self.events.get(num, 0)


def span_of(event: dict | list) -> list[int] | None:
    """Where the text of a stored event lies; in a lean chunk an event is an array, which says it last."""
    if isinstance(event, dict):
        return event.get("span")
    return event[6] if len(event) == 7 else None


def judged(root: Path, journal: Path, scratch: Path, moments: set[int] | None, variants: tuple[Variant, ...]) -> dict:
    """Every chosen moment in every variant: what was lost, what was wrong."""
    tried, lost, wrong = 0, [], []
    for number, disk, promises in cuts(journal, root, moments):
        for variant in variants:
            lay_out(disk.after_power_cut(variant, random.Random(f"{SEED}/{number}/{variant}")), scratch)
            found = Found(scratch / "data")
            lost += [(number, variant, line) for line in found.broken(promises)]
            wrong += [(number, variant, line) for line in found.wrong]
            tried += 1
    return {"power cuts": tried, "lost": lost, "wrong": wrong}


def some_moments(journal: Path, rounds: int) -> set[int] | None:
    total = sum(1 for _ in calls(journal))
    if SOME * rounds // 20 >= total:
        return None
    return set(random.Random(f"{SEED}/moments").sample(range(total), SOME * rounds // 20))


def test_b8_power_cut(library: Path, tmp_path: Path, rounds: int, figure: Callable[..., None]) -> None:
    root, journal = recorded(library, tmp_path, "power", RUNS)
    figures = judged(root, journal, tmp_path / "found", some_moments(journal, rounds), VARIANTS)
    figure("power cuts of a script of 200 runs", figures["power cuts"])
    figure("acknowledged and lost", len(figures["lost"]))
    figure("damaged", len(figures["wrong"]))
    assert not figures["lost"][:5], figures["lost"][:5]
    assert not figures["wrong"][:5], figures["wrong"][:5]


def test_b8_without_the_fault(library: Path, tmp_path: Path) -> None:
    """Everything lasts at once: nothing is missing at the end."""
    root, journal = recorded(library, tmp_path, "power", 40)
    figures = judged(root, journal, tmp_path / "found", set(), ("kept",))
    assert figures == {"power cuts": 1, "lost": [], "wrong": []}


def test_b8_without_the_defence(library: Path, tmp_path: Path) -> None:
    """A store that does not wait for the disk loses what it promised, and the check sees it."""
    root, journal = recorded(library, tmp_path, "process", 40)
    figures = judged(root, journal, tmp_path / "found", some_moments(journal, 20), ("lost",))
    assert figures["lost"]

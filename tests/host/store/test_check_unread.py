"""A look at a store of which a table cannot be read: it is named, and nothing is concluded from not having seen it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from store_kit import Bench, opened

from trunnion.store.check import examine
from trunnion.store.factory import database_path
from trunnion.store.repair import repair


def spoil(root: Path, table: str) -> None:
    """Overwrite the first page of a table."""
    path = database_path(root)
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


def keep_file(bench: Bench) -> Path:
    """An ended run with a file of its own."""
    file = bench.store.artifact_path(bench.ended().id, "a1")
    file.write_bytes(b"kept")
    return file


@pytest.mark.parametrize(
    ("table", "name"), [("runs", "ended runs"), ("live", "live runs"), ("artifacts", "kept files")]
)
def test_what_cannot_be_read_is_named_and_no_file_is_called_unknown(tmp_path: Path, table: str, name: str) -> None:
    with opened("process", tmp_path) as bench:
        keep_file(bench)
    spoil(tmp_path, table)
    troubles = list(examine(tmp_path))
    assert any(trouble.text.startswith(f"{name} cannot be read") for trouble in troubles)
    assert [trouble for trouble in troubles if trouble.kind == "orphan"] == []


def test_after_a_repair_that_lost_runs_their_files_are_in_lost_and_found(tmp_path: Path) -> None:
    with opened("process", tmp_path) as bench:
        file = keep_file(bench)
    spoil(tmp_path, "runs")
    repair(tmp_path, "now")
    assert not file.exists()
    (found,) = (tmp_path / "lost+found").rglob("a1")
    assert found.read_bytes() == b"kept"


def ended_runs(root: Path) -> set[str]:
    with closing(sqlite3.connect(database_path(root))) as connection:
        return {run_id for (run_id,) in connection.execute("SELECT id FROM runs")}


def test_of_a_file_that_was_cut_off_all_is_saved_that_is_there(tmp_path: Path) -> None:
    """Defence: ``salvage._copy`` puts empty pages where pages are missing; SQLite would read nothing at all."""
    with opened("process", tmp_path) as bench:
        runs = {bench.ended().id for _ in range(200)}
    path = database_path(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 4096)
    repaired = repair(tmp_path, "now")
    assert repaired is not None
    left = ended_runs(tmp_path)
    assert left <= runs
    assert len(left) > 150


def test_a_row_that_cannot_be_read_in_a_whole_page_is_given_up_and_no_other(tmp_path: Path) -> None:
    """Defence: rows are saved one by one where whole pages do not help; one such row hides the whole history."""
    with opened("process", tmp_path) as bench:
        runs = [bench.ended().id for _ in range(20)]
    with closing(sqlite3.connect(database_path(tmp_path))) as connection:
        connection.execute("UPDATE runs SET id = CAST(x'30ff3031' AS TEXT) WHERE id = ?", (runs[7],))
        connection.commit()
    repaired = repair(tmp_path, "now")
    assert repaired is not None
    assert any("lost" in done for done in repaired.done)
    assert not any(trouble.kind == "pages" for trouble in repaired.left)
    assert ended_runs(tmp_path) == {*runs} - {runs[7]}

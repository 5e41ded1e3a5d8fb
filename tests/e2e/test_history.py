"""Removing and taking in history, as a person at a terminal sees it."""

from __future__ import annotations

import json

import pytest

from trunnion.rendering import readable_size


def test_pruning_says_what_would_go_and_then_what_went(shared):
    for _ in range(3):
        assert shared.run("run", "demo.greet").code == 0
    words = ["runs", "prune", "--keep", "1", "--command", "demo.greet"]
    said = shared.run(*words, "--dry-run")
    assert said.code == 0
    assert "demo.greet" in said.out
    assert "too many" in said.out
    assert "would be removed: 2 runs" in said.err
    gone = shared.run(*words)
    assert gone.out == said.out
    assert "removed: 2 runs" in gone.err
    assert "would" not in gone.err
    assert "removed: 0 runs" in shared.run(*words).err


def test_importing_says_what_became_of_the_file(shared):
    job = {"command": "old.job", "status": "ok", "finished": 1_700_000_000}
    path = shared.root / "jobs.jsonl"
    path.write_text(json.dumps(job) + "\nnonsense\n")
    done = shared.run("runs", "import", "jobs.jsonl", "--origin", "cron")
    assert done.code == 0
    assert done.out.startswith("imported 1, there already 0, refused 1\nline 2: ")
    assert "1 of them ended so long ago" in done.err
    assert "imported 0, there already 1" in shared.run("runs", "import", "jobs.jsonl").out


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 40, "3072.0 GiB")],
)
def test_bytes_for_people(amount, shown):
    assert readable_size(amount) == shown

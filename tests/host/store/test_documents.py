"""Plugins' documents, and secrets that are sealed anew: every store does the same with them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from machine_kit import StoreMachine, on_every_store
from store_kit import START, Bench, Clock, end, event, host_event

from trunnion.model.errors import Unavailable
from trunnion.model.events import run_stream
from trunnion.model.retention import Rule
from trunnion.store import Accept, Batch, DocumentWrite, open_readonly
from trunnion.store.factory import database_path
from trunnion.store.refusing import RefusingStore


def doc(key: str, revision: int, value: bytes | None = b"1", owner: str = "demo") -> DocumentWrite:
    return DocumentWrite(owner, key, revision, START + revision, value)


def test_what_is_written_last_is_read(bench: Bench) -> None:
    bench.commit(Batch(documents=[doc("a", 1), doc("b", 2), doc("a", 1, b"{}", "other")]))
    bench.commit(Batch(documents=[doc("a", 3, b'{"n":3}'), doc("b", 4, None)]))
    assert bench.store.document("demo", "a") == doc("a", 3, b'{"n":3}')
    assert bench.store.document("demo", "b") is None
    assert bench.store.document("other", "a") == doc("a", 1, b"{}", "other")
    assert bench.store.document("nobody", "a") is None


def test_changes_of_one_document_in_one_batch_count_in_their_order(bench: Bench) -> None:
    bench.commit(Batch(documents=[doc("a", 1), doc("a", 2, None), doc("a", 3, b"3"), doc("b", 4), doc("b", 5, None)]))
    assert bench.store.documents("demo", "", "", 10) == [doc("a", 3, b"3")]
    assert bench.store.document_usage("demo") == (1, 1)


def test_keys_are_listed_in_order_by_prefix_and_after(bench: Bench) -> None:
    keys = ["a", "a/b", "a/b/c", "a-b", "a0", "aB", "ab", "b/1", "b/10", "b/2", "Z", "_"]
    bench.commit(Batch(documents=[doc(key, number) for number, key in enumerate(keys, 1)]))
    bench.commit(Batch(documents=[doc("a/b", 1, b"2", "demo2")]))
    for prefix in ("", "a", "a/", "a/b", "b/", "b/1", "c", "Z"):
        for after in ("", "a", "a/b", "b/1", "zz"):
            for limit in (1, 3, 100):
                expected = sorted(key for key in keys if key.startswith(prefix) and key > after)[:limit]
                found = bench.store.documents("demo", prefix, after, limit)
                assert [write.key for write in found] == expected, (prefix, after, limit)


def test_usage_counts_documents_and_bytes_of_their_owner(bench: Bench) -> None:
    assert bench.store.document_usage("demo") == (0, 0)
    large = b'"' + b"x" * 100_000 + b'"'
    bench.commit(Batch(documents=[doc("a", 1, large), doc("b", 2, b"12"), doc("a", 1, b"1", "other")]))
    assert bench.store.document_usage("demo") == (2, 100_004)


def test_documents_and_the_events_of_their_batch_come_together_or_not_at_all(bench: Bench) -> None:
    wrong = Batch(documents=[doc("a", 1)], appends={"host": [host_event(5)]})
    assert isinstance(bench.try_commit(wrong), ValueError)
    assert bench.store.document("demo", "a") is None
    bench.commit(Batch(documents=[doc("a", 1)], appends={"host": [host_event(1)]}))
    assert bench.store.document("demo", "a") == doc("a", 1)
    assert bench.store.last_seq("host") == 1


def test_documents_are_there_after_reopening(disk: Bench) -> None:
    disk.commit(Batch(documents=[doc("a", 1), doc("b", 2)]))
    disk.reopen()
    assert disk.store.documents("demo", "", "", 10) == [doc("a", 1), doc("b", 2)]


def test_documents_outlive_retention(bench: Bench) -> None:
    bench.commit(Batch(documents=[doc("a", 1)], appends={"state/demo": []}))
    bench.ended()
    bench.prune(Rule("*", age=0, runs=0), now=START * 2)
    assert bench.store.document("demo", "a") == doc("a", 1)


def test_secrets_are_sealed_anew_for_live_runs_only(bench: Bench) -> None:
    first, second, over = (bench.accept(bench.run(), sealed=b"old") for _ in range(3))
    bench.finish(over)
    new = {first.num: b"new", over.num: b"new", 10_000: b"new"}
    bench.commit(Batch(sealed=new))
    assert {entry.run.id: entry.sealed for entry in bench.store.live()} == {first.id: b"new", second.id: b"old"}


def test_secrets_are_sealed_anew_whatever_else_the_batch_does(bench: Bench) -> None:
    run, ending = bench.accept(bench.run(), sealed=b"old"), bench.accept(bench.run(), sealed=b"old")
    fresh = bench.run()
    batch = Batch([Accept(fresh, None, b"old")], [run], {run_stream(ending.id): [event(ending, 2)]}, [end(ending)])
    batch.sealed = {run.num: b"new", fresh.num: b"new", ending.num: b"new"}
    bench.commit(batch)
    assert {entry.run.id: entry.sealed for entry in bench.store.live()} == {run.id: b"new", fresh.id: b"new"}


def test_documents_are_read_without_a_host_and_not_changed(disk: Bench) -> None:
    disk.commit(Batch(documents=[doc("a", 1), doc("b", 2)]))
    disk.store.close()
    store = open_readonly(disk.data_dir, disk.clock)
    assert store.document("demo", "a") == doc("a", 1)
    assert store.documents("demo", "", "a", 10) == [doc("b", 2)]
    assert store.document_usage("demo") == (2, 2)
    store.close()
    refusing = RefusingStore(disk.database, artifacts=disk.data_dir / "artifacts", clock=disk.clock)
    refusing.open()
    answers: list[Exception | None] = []
    refusing.commit(Batch(documents=[doc("a", 3)]), answers.append)
    assert isinstance(answers[0], Unavailable)
    assert refusing.document("demo", "a") == doc("a", 1)
    refusing.close()


def test_data_without_documents_is_read_as_it_is(version1: Path) -> None:
    before = database_path(version1).read_bytes()
    store = open_readonly(version1, Clock())
    assert store.document("demo", "a") is None
    assert store.documents("demo", "", "", 10) == []
    assert store.document_usage("demo") == (0, 0)
    assert store.stats()["schema_version"] == 1
    store.close()
    assert database_path(version1).read_bytes() == before


class Machine(StoreMachine):
    """Any order of changes, of batches that fail and of reopening, against a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], DocumentWrite] = {}
        self.revision = 0

    @rule(seed=st.integers(0, 2**16), fails=st.sampled_from([False, False, True]))
    def commit(self, seed: int, fails: bool) -> None:
        chance = random.Random(seed)
        batch, kept = Batch(), dict(self.kept)
        for _ in range(chance.randrange(6)):
            self.revision += 1
            value = chance.choice([None, b"1", b'"' + b"v" * chance.choice([10, 5_000]) + b'"'])
            write = doc(f"k{chance.randrange(5)}/x", self.revision, value, chance.choice(["one", "two"]))
            batch.documents.append(write)
            kept[write.owner, write.key] = write
        if fails:
            batch.appends["host"] = [host_event(77)]
            assert isinstance(self.bench.try_commit(batch), ValueError)
            return
        self.bench.commit(batch)
        self.kept = {place: write for place, write in kept.items() if write.value is not None}

    @rule()
    def reopen(self) -> None:
        if self.durability != "memory":
            self.bench.reopen()

    @invariant()
    def same(self) -> None:
        for owner in ("one", "two"):
            expected = [write for place, write in sorted(self.kept.items()) if place[0] == owner]
            assert self.bench.store.documents(owner, "", "", 100) == expected
            usage = (len(expected), sum(len(write.value or b"") for write in expected))
            assert self.bench.store.document_usage(owner) == usage
            assert [self.bench.store.document(owner, write.key) for write in expected] == expected


globals().update(on_every_store(Machine))


@pytest.mark.parametrize("size", [1 << 20])
def test_a_large_document_is_whole(bench: Bench, size: int) -> None:
    value = b'"' + random.Random(1).randbytes(size // 2).hex().encode() + b'"'
    bench.commit(Batch(documents=[doc("large", 1, value), doc("small", 2)]))
    assert bench.store.document("demo", "large") == doc("large", 1, value)

"""A store at work for ``test_disk_power``: promises what it was told is on record, in a file of its own.

``power_child.py ROOT DURABILITY RUNS``
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "host" / "store"))

from store_kit import Bench, end, event, opened

from trunnion.model.events import run_stream
from trunnion.model.runs import ArtifactInfo, Run
from trunnion.store import Batch, DocumentWrite

SESSIONS = 4


class Promises:
    def __init__(self, root: Path) -> None:
        self._file = os.open(root / "promises", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tell(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


def one_run(bench: Bench, promises: Promises, number: int) -> None:
    run = bench.accept(bench.run())
    promises.tell("accepted", run.id)
    last = 1
    for _ in range(number % 3):
        last += 1
        bench.commit(Batch(appends={run_stream(run.id): [event(run, last, "data", f"{last}" * 50)]}))
        promises.tell("event", run.id, last)
    if number % 5 == 0:
        keep(bench, promises, run, number)
    if number % 60 == 30:
        last = long_output(bench, promises, run, last)
    if number % 7:
        bench.commit(Batch(appends={run_stream(run.id): [event(run, last + 1)]}, finishes=[end(run, last=last + 1)]))
        promises.tell("ended", run.id, last + 1)


def keep(bench: Bench, promises: Promises, run: Run, number: int) -> None:
    content = f"{number}".encode() * 300
    info = ArtifactInfo(f"a{number}", run.id, "file", len(content), "00")
    bench.store.artifact_path(run.id, info.id).write_bytes(content)
    document = DocumentWrite("demo", f"d{number % 10}", number, number, f"{number}".encode())
    bench.commit(Batch(artifacts=[info], documents=[document]))
    promises.tell("kept", run.id, info.id, len(content))
    promises.tell("document", document.key, number)


def long_output(bench: Bench, promises: Promises, run: Run, last: int) -> int:
    for letter in "abcd":
        last += 1
        bench.commit(Batch(appends={run_stream(run.id): [event(run, last, "text", letter * 400_000)]}))
        promises.tell("event", run.id, last)
    return last


def main(root: Path, durability: str, runs: int) -> None:
    promises = Promises(root)
    each = -(-runs // SESSIONS)
    for session in range(SESSIONS):
        with opened(durability, root / "data") as bench:  # type: ignore[arg-type]
            for number in range(session * each, min(runs, (session + 1) * each)):
                one_run(bench, promises, number)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))

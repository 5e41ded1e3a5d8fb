"""Data directories with some of everything, and backups of them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from store_kit import Bench, event

from trunnion.model.events import TEXT, Event, run_stream
from trunnion.model.runs import ArtifactInfo, Run, RunFilter
from trunnion.store import Batch, open_readonly
from trunnion.store.backup import Source
from trunnion.store.connections import connect_reader
from trunnion.store.factory import database_path


def source_of(root: Path, **changes: object) -> Source:
    values: dict[str, object] = {
        "root": root,
        "connect": lambda: connect_reader(database_path(root)),
        "config": None,
        "with_key": False,
        "version": "1",
        "now": 5,
        **changes,
    }
    return Source(**values)  # type: ignore[arg-type]


def keep(bench: Bench, run: Run, name: str, data: bytes) -> ArtifactInfo:
    sha256 = hashlib.sha256(data).hexdigest()
    info = ArtifactInfo(
        id=name, run_id=run.id, name=name, media_type="text/plain", size=len(data), sha256=sha256, created=1
    )
    bench.store.artifact_path(run.id, name).write_bytes(data)
    bench.commit(Batch(artifacts=[info]))
    return info


def spilled(bench: Bench) -> tuple[Run, list[Event]]:
    """A live run with text in its output file."""
    run = bench.accept(bench.run())
    events = [event(run, 1)]
    for seq in range(2, 6):
        events.append(event(run, seq, TEXT, f"{seq}" * 600_000))
        bench.commit(Batch(appends={run_stream(run.id): [events[-1]]}))
    return run, events


def content_of(root: Path) -> dict[str, bytes]:
    """Every file by name, but for what a store keeps for itself."""
    files = [path for path in root.rglob("*") if path.is_file()]
    found = {str(path.relative_to(root)): path.read_bytes() for path in files}
    return {name: data for name, data in found.items() if not name.startswith("db/")}


def events_of(root: Path) -> dict[str, list[Event]]:
    store = open_readonly(root, lambda: 0)
    try:
        runs = [entry.run for entry in store.live()]
        runs += [run for run in store.list_runs(RunFilter(), 1000, None).items if run.ended]
        return {run.id: store.read_events(run_stream(run.id), 0, 1000, 1 << 30) for run in runs}
    finally:
        store.close()


def fill(bench: Bench) -> None:
    """Some of everything, in the store and beside it."""
    root = bench.data_dir
    for _ in range(20):
        bench.ended()
    keep(bench, bench.accept(bench.run()), "a1", b"kept" * 100)
    spilled(bench)
    for name in ("instances/one/settings.json", "packages/p/bin/tool", "shared/x", "audit/1.jsonl", "uploads/u1"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode() * 3)
    (root / "packages/p/bin/tool").chmod(0o755)
    (root / "instances/empty").mkdir()
    (root / "host_id").write_text("the host\n")
    (root / "secret.key").write_bytes(b"k" * 72)
    (root / "logs").mkdir()
    (root / "logs/host.jsonl").write_text("{}")


class Moment:
    """Does something at the n-th time the backup looks whether it is to go on."""

    def __init__(self, number: int, act: Callable[[], None]) -> None:
        self.left, self.act = number, act

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.act()


LIMITED = """
import resource, signal, sys
from pathlib import Path
from trunnion.model.errors import Unavailable
from trunnion.store.backup import Source, back_up, restore
from trunnion.store.connections import connect_reader
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
root, file = Path(sys.argv[3]), Path(sys.argv[4])
try:
    if sys.argv[2] == "restore":
        restore(file, root)
    else:
        connect = lambda: connect_reader(root / "db" / "trunnion.sqlite")
        back_up(Source(root=root, connect=connect, config=None, with_key=False, version="1", now=1), file)
except Unavailable as error:
    print(error.details["reason"], error)
"""


def limited(limit: int, verb: str, root: Path, file: Path) -> str:
    command = [sys.executable, "-c", LIMITED, str(limit), verb, str(root), str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def flip(path: Path, *places: int) -> None:
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 0xFF
    path.write_bytes(data)

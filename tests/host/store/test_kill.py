"""What was acknowledged is there after the process was killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from store_kit import ON_DISK, opened

from trunnion.model.events import run_stream
from trunnion.store import Durability

CHILD = Path(__file__).with_name("writing_child.py")


def write_until_killed(durability: Durability, data_dir: Path, seconds: float) -> list[list[str]]:
    """What the child said before it died."""
    command = [sys.executable, str(CHILD), durability, str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        os.set_blocking(child.stdout.fileno(), False)
        said = b""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline or b"ended" not in said:
            said += child.stdout.read() or b""
        child.send_signal(signal.SIGKILL)
        child.wait()
        os.set_blocking(child.stdout.fileno(), True)
        said += child.stdout.read()
    return [line.split() for line in said.decode().split("\n")[:-1]]


@pytest.mark.parametrize("durability", ON_DISK)
def test_kill_loses_nothing_acknowledged(durability: Durability, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    said: list[list[str]] = []
    for _ in range(3):
        said += write_until_killed(durability, tmp_path, chance.uniform(0.0, 0.4))
        with opened(durability, tmp_path) as bench:
            ended = {words[1]: int(words[2]) for words in said if words[0] == "ended"}
            accepted = {words[1] for words in said}
            live = {entry.run.id: entry.last_seq for entry in bench.store.live()}
            for run_id in accepted:
                run = bench.store.get_run(run_id)
                assert run is not None, "an acknowledged run is lost"
                last = run.last_seq if run.ended else live[run_id]
                assert run.ended or run_id not in ended
                assert last == ended.get(run_id, last)
                events = bench.store.read_events(run_stream(run_id), 0, 100)
                assert [e.seq for e in events] == list(range(1, last + 1))
                assert all(len(e.text) in {100, 600_000} for e in events if e.kind == "text")
            assert not set(live) & set(ended)
            newest = {words[3]: int(words[4]) for words in said if words[0] == "ended"}
            for key, revision in newest.items():
                document = bench.store.document("child", key)
                assert document is not None, "an acknowledged document is lost"
                assert document.revision >= revision, "an acknowledged change is lost"
            first = bench.store.next_num()
            assert all(run.num < first for run in bench.store.get_runs(sorted(accepted)))
    print(f"{len(said)} acknowledgements")

"""A host that writes as fast as it can and says what was acknowledged, until it is killed.

``python writing_child.py DURABILITY DATA_DIR``: one line ``accepted ID`` or ``ended ID LAST KEY REVISION`` per answer.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import store_kit as kit

from trunnion.model.events import run_stream
from trunnion.model.runs import Run
from trunnion.store import Accept, Batch, DocumentWrite, Store, open_store


async def commit(store: Store, batch: Batch) -> None:
    answer = asyncio.get_running_loop().create_future()
    store.commit(batch, answer.set_result)
    error = await answer
    assert error is None, error


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def one(store: Store, worker: int) -> None:
    run: Run = kit.make_run(store.next_num())
    stream = run_stream(run.id)
    await commit(store, Batch([Accept(run)], appends={stream: [kit.event(run, 1)]}))
    say("accepted", run.id)
    last = 2 + run.num % 5
    for seq in range(2, last):
        text = "x" * (600_000 if run.num % 50 == 0 else 100)
        await commit(store, Batch(appends={stream: [kit.event(run, seq, "text", text)]}))
    ended = kit.end(run, last=last)
    document = DocumentWrite("child", f"workers/{worker}", run.num, run.created, b"%d" % last)
    await commit(store, Batch(appends={stream: [kit.event(run, last)]}, finishes=[ended], documents=[document]))
    say("ended", run.id, last, document.key, document.revision)


async def main(durability: str, data_dir: str) -> None:
    store = open_store(durability, Path(data_dir), lambda: time.time_ns() // 1000)

    async def work(worker: int) -> None:
        while True:
            await one(store, worker)
            await asyncio.sleep(0)

    say("ready")
    await asyncio.gather(*[work(worker) for worker in range(8)])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

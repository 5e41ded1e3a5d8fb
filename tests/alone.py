"""Tests on several workers (``-n 2``): files at a time, and those marked ``alone`` at the end, by themselves.

A worker takes the next file when it has done nearly all of the last. When no file is left all workers but one go home,
and only when they are gone the one that stayed begins with the tests marked ``alone``: it has the machine to itself.
Without ``-n`` nothing here takes part and tests run in the order of their files.
"""

from __future__ import annotations

import json
import tempfile
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

SLOW = ("tests/e2e/", "tests/faults/", "tests/installed/", "tests/tty/")
"""Where single files take long: they are begun first, so that the workers end at about the same time."""


class AloneLast:
    """Who does what; one of pytest-xdist's schedulers.

    Attributes:
        ids: of all tests, as every worker found them.
        marked: those that are to run alone.
        files: what nobody has begun yet, as places in ``ids``.
        alone: what waits until one worker is left, as places in ``ids``.
        pending: what each worker has been sent and has not done.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.ids: list[str] = []
        self.marked: set[str] = set()
        self.files: deque[list[int]] = deque()
        self.alone: list[int] = []
        self.pending: dict[WorkerController, list[int]] = {}
        self.ready: set[WorkerController] = set()
        self.begun = False

    # -- what the session asks ------------------------------------------------------------------------

    @property
    def nodes(self) -> list[WorkerController]:
        return list(self.pending)

    @property
    def collection_is_completed(self) -> bool:
        return self.begun or len(self.ready) >= self.workers

    @property
    def tests_finished(self) -> bool:
        """A worker keeps its last test until it is told whether another one follows."""
        left = self.files or self.alone or any(len(sent) > 1 for sent in self.pending.values())
        return self.begun and not left

    @property
    def has_pending(self) -> bool:
        return bool(self.files or self.alone or any(self.pending.values()))

    # -- what the session tells -----------------------------------------------------------------------

    def add_node(self, node: WorkerController) -> None:
        self.pending[node] = []

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        if self.ids and self.ids != collection:
            from xdist.report import report_collection_diff

            raise RuntimeError(report_collection_diff(self.ids, collection, "the other workers", node.gateway.id))
        self.ids = list(collection)
        self.marked = set(json.loads(Path(node.workerinput["alone"]).read_text(encoding="utf-8")))
        self.ready.add(node)

    def schedule(self) -> None:
        if not self.begun:
            self.begun = True
            self._take(range(len(self.ids)))
            for node in self.nodes:
                self._next_file(node)
        for node in self.nodes:
            self._feed(node)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        self.pending[node].remove(item_index)
        self._feed(node)

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker went home, or died; the test it died of."""
        left = self.pending.pop(node)
        self._take(left[1:])
        for other in self.nodes:
            self._feed(other)
        return self.ids[left[0]] if left else None

    # -- the work -------------------------------------------------------------------------------------

    def _take(self, indices: Iterable[int]) -> None:
        """Put tests where they wait to be sent."""
        files: dict[str, list[int]] = {}
        for index in indices:
            if self.ids[index] in self.marked:
                self.alone.append(index)
            else:
                files.setdefault(self.ids[index].partition("::")[0], []).append(index)
        self.files.extend(files[name] for name in sorted(files, key=lambda name: not name.startswith(SLOW)))

    def _send(self, node: WorkerController, indices: list[int]) -> None:
        self.pending[node] += indices
        node.send_runtest_some(indices)

    def _next_file(self, node: WorkerController) -> None:
        if self.files:
            self._send(node, self.files.popleft())

    def _feed(self, node: WorkerController) -> None:
        """Give a worker what is to be done next, or send it home."""
        if not self.begun or node.shutting_down or node not in self.ready:
            return
        while self.files and len(self.pending[node]) < 3:
            self._next_file(node)
        if self.files:
            return
        if self.alone and len(self.pending) == 1:
            self._send(node, self.alone)
            self.alone = []
        stays = self.alone and all(other.shutting_down for other in self.nodes if other is not node)
        if not stays:
            node.shutdown()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config) -> AloneLast:
    from xdist.workermanage import parse_tx_spec_config

    return AloneLast(len(parse_tx_spec_config(config)))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Give a worker a file to write into which tests are to run alone; by itself it tells the names of all, no more."""
    file = tempfile.NamedTemporaryFile(prefix="alone-")  # noqa: SIM115 - it goes with the session
    node.config.add_cleanup(file.close)
    node.workerinput["alone"] = file.name


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """In a worker: say so before the names are told."""
    if file := getattr(session.config, "workerinput", {}).get("alone"):
        alone = [item.nodeid for item in session.items if item.get_closest_marker("alone")]
        Path(file).write_text(json.dumps(alone), encoding="utf-8")

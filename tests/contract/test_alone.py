"""Tests on two workers: who gets what, and that those marked ``alone`` have the machine to themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from alone import AloneLast

pytest.importorskip("xdist", reason="make test needs it, plain pytest does not")

ROOT = Path(__file__).resolve().parents[2]

PROJECT = """
import json, os, time
from pathlib import Path
import pytest

LOG = Path(__file__).with_suffix(".log")

@pytest.fixture(autouse=True)
def told(request):
    begun = time.monotonic()
    yield
    with LOG.open("a") as log:
        log.write(json.dumps([request.node.name, os.getpid(), begun, time.monotonic()]) + "\\n")

@pytest.mark.parametrize("n", range(5))
def test_shared(n):
    time.sleep(0.02)  # so that two of them would meet

@pytest.mark.alone
@pytest.mark.parametrize("n", range(3))
def test_by_itself(n):
    time.sleep(0.02)
"""
INI = "[pytest]\nmarkers = alone\n"


class Node:
    """A worker that does what it was sent when the test says so."""

    def __init__(self, alone: Path) -> None:
        self.workerinput = {"alone": str(alone)}
        self.gateway = SimpleNamespace(id="gw7")
        self.sent: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def begun(file: Path, shared: list[str], alone: Sequence[str] = (), workers: int = 2) -> tuple[AloneLast, list[Node]]:
    ids = [*shared, *alone]
    file.write_text(json.dumps(alone))
    scheduler, nodes = AloneLast(workers), [Node(file) for _ in range(workers)]
    for node in nodes:
        scheduler.add_node(node)
    for node in nodes:
        assert not scheduler.collection_is_completed
        scheduler.add_node_collection(node, ids)
    scheduler.schedule()
    return scheduler, nodes


def do(scheduler: AloneLast, node: Node, leave: int = 1) -> None:
    """A worker does what it has been sent, but for its last test, for which it waits to be told what follows."""
    while len(waiting := scheduler.pending[node]) > (0 if node.shutting_down else leave):
        scheduler.mark_test_complete(node, waiting[0])


def names(*files: str, first: int = 0, each: int = 4) -> list[str]:
    return [f"{file}::test_{number}" for file in files for number in range(first, first + each)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "alone"


def test_files_stay_together_and_slow_ones_come_first(file: Path) -> None:
    ids = names("tests/host/a.py", "tests/host/b.py", "tests/e2e/c.py", "tests/faults/d.py")
    scheduler, (one, two) = begun(file, ids)
    assert [ids[n].partition("::")[0] for n in one.sent] == ["tests/e2e/c.py"] * 4
    assert [ids[n].partition("::")[0] for n in two.sent] == ["tests/faults/d.py"] * 4
    do(scheduler, one)
    assert sorted(one.sent + two.sent) == list(range(16))
    assert one.shutting_down
    do(scheduler, two)
    assert scheduler.tests_finished


def test_alone_begins_when_the_others_have_gone_home(file: Path) -> None:
    scheduler, (one, two) = begun(file, names("a.py", "b.py", "c.py"), names("a.py", "d.py", first=4, each=2))
    alone = [12, 13, 14, 15]
    do(scheduler, two)
    assert two.shutting_down
    do(scheduler, two)
    do(scheduler, one)
    assert not one.shutting_down
    assert not set(alone) & set(one.sent + two.sent), "the other worker has not said yet that it is done"
    assert not scheduler.tests_finished
    assert scheduler.remove_node(two) is None
    assert one.sent[-4:] == alone
    assert one.shutting_down
    do(scheduler, one)
    assert scheduler.tests_finished
    assert not scheduler.has_pending


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("shared", [0, 1, 2, 5])
@pytest.mark.parametrize("alone", [0, 1, 2])
def test_whatever_there_is_all_of_it_is_done_once(file: Path, workers: int, shared: int, alone: int) -> None:
    scheduler, nodes = begun(
        file, names(*(f"f{n}.py" for n in range(shared)), each=2), names("x.py", each=alone), workers
    )
    for _ in range(4):
        for node in scheduler.nodes:
            do(scheduler, node)
            if node.shutting_down:
                assert scheduler.remove_node(node) is None
    assert sorted(index for node in nodes for index in node.sent) == list(range(2 * shared + alone))
    assert scheduler.tests_finished
    assert scheduler.nodes == []


def test_a_worker_that_died_is_told_with_its_test_and_the_rest_is_done_by_others(file: Path) -> None:
    ids = names("a.py", "b.py")
    scheduler, (one, two) = begun(file, ids)
    scheduler.mark_test_complete(one, 0)
    assert scheduler.remove_node(one) == "a.py::test_1"
    late = Node(file)
    scheduler.add_node(late)
    scheduler.add_node_collection(late, ids)
    scheduler.schedule()
    for node in (two, late):
        do(scheduler, node)
    assert sorted({0, *two.sent, *late.sent}) == [0, 2, 3, 4, 5, 6, 7]


def test_workers_must_have_found_the_same_tests(file: Path) -> None:
    scheduler, _ = begun(file, names("a.py"))
    with pytest.raises(RuntimeError, match="Different tests were collected between the other workers and gw7"):
        scheduler.add_node_collection(Node(file), names("b.py"))


# -- a real run ---------------------------------------------------------------------------------------


def pytest_run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "PYTEST"))}
    command = [sys.executable, "-B", "-m", "pytest", "-p", "xdist", "-p", "alone", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "--rootdir", ".", *options],
        cwd=folder,
        env={**environ, "PYTHONPATH": str(ROOT / "tests"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def logged(folder: Path) -> list[tuple[str, int, float, float]]:
    return [tuple(json.loads(line)) for log in folder.glob("*.log") for line in log.read_text().splitlines()]


def test_a_run_on_two_workers(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"test_{name}.py").write_text(PROJECT)
    (tmp_path / "pytest.ini").write_text(INI)
    done = pytest_run(tmp_path, "-n", "2", "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 passed" in done.stdout.splitlines()[-1]
    tests = logged(tmp_path)
    assert len({pid for _, pid, _, _ in tests}) == 2
    alone = [test for test in tests if "by_itself" in test[0]]
    assert len(alone) == 9
    assert len({pid for _, pid, _, _ in alone}) == 1
    assert min(start for _, _, start, _ in alone) > max(end for name, _, _, end in tests if "shared" in name)


def test_a_worker_that_dies_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(PROJECT)
    (tmp_path / "test_b.py").write_text("import os\ndef test_of_death():\n    os._exit(0)\n")
    (tmp_path / "pytest.ini").write_text(INI)
    done = pytest_run(tmp_path, "-n", "2")
    assert done.returncode == 1
    assert "crashed while running 'test_b.py::test_of_death'" in done.stdout
    assert "1 failed, 8 passed" in done.stdout.splitlines()[-1], "the others were done all the same"


def test_without_workers_tests_keep_their_order(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(PROJECT + "\ndef test_at_last():\n    pass\n")
    (tmp_path / "pytest.ini").write_text(INI)
    done = pytest_run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert logged(tmp_path)[-1][0] == "test_at_last"

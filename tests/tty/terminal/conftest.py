"""One host for all tests of this folder, one for a test that wants its own, and shells on terminals."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from tty_kit.place import Place, Shell


@pytest.fixture(scope="session")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place with a running host, for tests that leave it as it is."""
    place = Place(tmp_path_factory.mktemp("hosted"))
    yield place.up()
    place.close()


@pytest.fixture
def make_place(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Makes places of one's own, without a host."""
    made: list[Place] = []

    def make(name: str = "own", **options: str) -> Place:
        root = tmp_path / name
        root.mkdir()
        made.append(Place(root, **options))
        return made[-1]

    yield make
    for place in made:
        place.close()


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    """A place of one's own, with a running host."""
    return make_place().up()


@pytest.fixture
def shell(hosted: Place) -> Iterator[Shell]:
    """A shell of one's own on the host of all."""
    others = len(hosted.shells)
    yield hosted.shell().ready()
    hosted.close_shells(others)


@pytest.fixture(scope="module")
def _used(hosted: Place) -> Iterator[list[Shell]]:
    kept: list[Shell] = []
    yield kept
    hosted.close_shells()


@pytest.fixture
def used(hosted: Place, _used: list[Shell], request: pytest.FixtureRequest) -> Iterator[Shell]:
    """A shell that tests of one module share: in the main console, at an empty line."""
    if not _used:
        _used.append(hosted.shell())
    shell = _used[0].ready()
    shell.mark()
    yield shell
    if request.node.stash.get(FAILED, False):
        _used.clear()
        return
    shell.rest()


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report

"""The line to the host: how it fares is known at each moment, and what it offers as soon as that changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from wire_kit import Plant, Wire, hosted, until

from trunnion import Command, Event, Host, Invocation, TrunnionError
from trunnion.kernel.registry import Contributed
from trunnion.model.events import HOST_STREAM, LOG
from trunnion.protocol.client import Client
from trunnion_tty import link as link_module
from trunnion_tty.link import Health, Link

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at the host thirty times a second."""
    monkeypatch.setattr(link_module, "LOOK_EVERY", 0.03)
    monkeypatch.setattr(link_module, "BUSY_AFTER", 0.05)


class Watched:
    """A link, and what it has told."""

    def __init__(self, socket: Path) -> None:
        self.link = Link(Client(socket, patience=float("inf"), door="tty"))
        self.told: list[tuple[Health, Health]] = []
        self.notices: list[Event] = []
        self.link.on_health = lambda before, now: self.told.append((before, now))
        self.link.on_notice = self.notices.append

    @property
    def states(self) -> list[str]:
        """One after the other, each once."""
        found = ["up"]
        for _, now in self.told:
            if now.state != found[-1]:
                found.append(now.state)
        return found

    async def begin(self) -> Watched:
        await self.link.open()
        self.link.watch()
        await until(lambda: self.told)
        return self


@pytest.fixture
async def watched(wire: Wire) -> AsyncIterator[Watched]:
    made = await Watched(wire.path).begin()
    yield made
    await made.link.close()


async def test_who_and_what_is_there(watched: Watched) -> None:
    assert watched.link.principal
    assert watched.link.catalog.get("plant.hold") is not None
    assert watched.link.health.state == "up"
    assert watched.link.health.lag < 10


async def test_of_nobody_it_is_said_at_once(tmp_path: Path) -> None:
    link = Link(Client(tmp_path / "nobody", patience=float("inf"), door="tty"))
    with pytest.raises(TrunnionError, match="no host is running"):
        await link.open()
    await link.close()


async def test_a_host_that_does_not_answer_is_busy_and_for_how_long_is_told(watched: Watched, wire: Wire) -> None:
    wire.answers.clear()
    await until(lambda: watched.link.health.state == "busy" and watched.link.health.lag > 0.2)
    lags = [now.lag for _, now in watched.told if now.state == "busy"]
    assert lags == sorted(lags)
    assert [before for before, _ in watched.told[1:]] == [now for _, now in watched.told[:-1]]
    wire.answers.set()
    await until(lambda: watched.link.health.state == "up")
    assert watched.link.health.lag > 0.2, "what the answer took in the end"
    assert watched.states == ["up", "busy", "up"]


async def test_a_host_that_is_gone_is_known_and_so_is_one_that_is_back(watched: Watched, wire: Wire) -> None:
    await wire.down()
    await until(lambda: watched.link.health.state == "gone")
    assert "cannot reach a host" in watched.link.health.why or "closed the connection" in watched.link.health.why
    await wire.up()
    await until(lambda: watched.link.health.state == "up")
    wire.answers.clear()
    await until(lambda: watched.link.health.state == "busy")
    await wire.down()
    await until(lambda: watched.link.health.state == "gone")
    wire.answers.set()
    await wire.up()
    await until(lambda: watched.link.health.state == "up")
    assert watched.states == ["up", "gone", "up", "busy", "gone", "up"]


async def test_a_host_that_stops_in_order_is_gone_and_not_busy(tmp_path: Path, plant: Plant) -> None:
    async with hosted(tmp_path, plant) as host:
        watched = await Watched(host.data.socket).begin()
    await until(lambda: watched.link.health.state == "gone")
    assert watched.states == ["up", "gone"]
    async with hosted(tmp_path, plant):
        await until(lambda: watched.link.health.state == "up")
        await watched.link.close()


def other(name: str) -> Command:
    def function() -> None:
        """Do something else."""

    return Command.of(function, console="plant", name=name)


async def test_what_is_added_and_withdrawn_is_known(watched: Watched, host: Host) -> None:
    registry = host.kernel.registry
    before = watched.link.catalog
    registry.replace("late", Contributed(commands=[other("added")]))
    await until(lambda: watched.link.catalog.get("plant.added"))
    assert before.get("plant.added") is None, "a catalog is never changed, another one takes its place"
    registry.set_available("late", False)
    await until(lambda: (entry := watched.link.catalog.get("plant.added")) is not None and not entry.available)
    registry.withdraw("late")
    await until(lambda: watched.link.catalog.get("plant.added") is None)
    assert watched.link.catalog.get("plant.hold") is not None


async def test_a_change_is_known_without_a_look(wire: Wire, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host says that it has changed; the next look may be far away."""
    monkeypatch.setattr(link_module, "LOOK_EVERY", 1000.0)
    watched = await Watched(wire.path).begin()
    for number in range(100):  # it may not be listening yet
        host.kernel.registry.replace("late", Contributed(commands=[other(f"added{number}")]))
        with contextlib.suppress(AssertionError):
            await until(lambda number=number: watched.link.catalog.get(f"plant.added{number}"), patience=0.2)
            break
    assert number < 99
    assert len(watched.told) == 1
    await watched.link.close()


async def test_a_change_that_was_missed_is_known_once_the_line_is_back(
    watched: Watched, wire: Wire, host: Host
) -> None:
    await wire.down()
    host.kernel.registry.replace("late", Contributed(commands=[other("added")]))
    await wire.up()
    await until(lambda: watched.link.catalog.get("plant.added"))


async def test_a_refresh_waits_no_longer_than_it_may(watched: Watched, wire: Wire, host: Host) -> None:
    wire.answers.clear()
    async with asyncio.timeout(5):
        await watched.link.refresh(0.05)
    await wire.down()
    async with asyncio.timeout(5):
        await watched.link.refresh(0.05)
    wire.answers.set()
    await wire.up()
    host.kernel.registry.replace("late", Contributed(commands=[other("added")]))
    await watched.link.refresh(5)
    assert watched.link.catalog.get("plant.added") is not None


def warn(host: Host, text: str) -> None:
    host.kernel.log.stream(HOST_STREAM).append(LOG, text, msgspec.Raw(b"{}"), level="warning")


async def until_heard(watched: Watched, host: Host, word: str) -> None:
    """Have a host say a word until it arrives: the link may not be listening yet."""
    for _ in range(100):
        warn(host, word)
        with contextlib.suppress(AssertionError):
            await until(lambda: any(event.text == word for event in watched.notices), patience=0.2)
            return
    raise AssertionError(f"{word} is not heard")


async def test_the_host_is_heard_from_now_on(wire: Wire, host: Host) -> None:
    """Warnings for operators arrive, each once, across a line that is lost; earlier ones do not."""
    warn(host, "earlier")
    watched = await Watched(wire.path).begin()
    await until_heard(watched, host, "early")
    first = len(watched.notices)
    for number in range(20):
        warn(host, f"{number}")
        if number % 5 == 0:
            await wire.cut()
    await until(lambda: len(watched.notices) == first + 20)
    assert [event.text for event in watched.notices[first:]] == [f"{number}" for number in range(20)]
    assert all(event.text == "early" for event in watched.notices[:first])
    await watched.link.close()


async def test_a_host_with_an_earlier_past_is_heard_too(wire: Wire, host: Host, tmp_path: Path, plant: Plant) -> None:
    """Defence: ``_hear`` goes on from the newest word of such a host, as one restored from a backup is."""
    watched = await Watched(wire.path).begin()
    await until_heard(watched, host, "one")
    for number in range(50):
        warn(host, f"one {number}")
    async with hosted(tmp_path / "other", plant) as other:
        wire.target = other.data.socket
        await wire.cut()
        await until_heard(watched, other, "other")
        await watched.link.close()


async def test_after_it_is_closed_nothing_goes_on(wire: Wire) -> None:
    before = asyncio.all_tasks()
    watched = await Watched(wire.path).begin()
    await watched.link.client.run(Invocation(command_id="plant.quick"))
    await watched.link.close()
    await until(lambda: {t for t in asyncio.all_tasks() - before if "trunnion" in t.get_name()} == set())
    told = len(watched.told)
    await asyncio.sleep(0.1)
    assert len(watched.told) == told

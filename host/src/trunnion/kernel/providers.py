"""Providers: one object per host for each type, opened before anybody asks and closed when everything has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, cast

import msgspec

from trunnion.kernel.blame import Blame
from trunnion.kernel.reporting import Report
from trunnion.model.contributions import Provider
from trunnion.model.errors import Conflict, InvalidArguments, Unavailable
from trunnion.model.json import Json

if TYPE_CHECKING:
    from trunnion.kernel.handle import HostHandle

T = TypeVar("T")
ProviderState: TypeAlias = Literal["waiting", "opening", "open", "failed", "closed"]
CLOSE_GRACE = 10.0
"""Seconds one provider may take to close."""

LEAVE = 1.0
"""Seconds an ``open`` or ``close`` that was cancelled has to end; then it is left behind."""


class Provision(msgspec.Struct, eq=False, kw_only=True):
    """One provider and how it fares.

    Attributes:
        reason: why it is not open.
        value: the object, while it is open.
        opening: the task that opens it, once somebody wants it.
        waits_for: the others its ``open`` waits for at the moment.
        excused: seconds its ``open`` spent waiting for others, which do not count against it.
    """

    owner: str
    provider: Provider
    state: ProviderState = "waiting"
    reason: str = ""
    value: object = None
    opening: asyncio.Task[None] | None = None
    waits_for: list[Provision] = []
    waiting_since: float = 0.0
    excused: float = 0.0

    @property
    def name(self) -> str:
        """The type, as people know it."""
        return type_name(self.provider.type)

    def time_left(self, began: float, now: float) -> float:
        """Seconds its ``open`` still has."""
        waiting = now - self.waiting_since if self.waits_for else 0.0
        return self.provider.start_timeout - (now - began - self.excused - waiting)


class Providers:
    """All providers of a host. Opened and closed on the loop; ``get`` works from any thread.

    Args:
        report: told of each one that fails.
        blame: counts them by plugin.
    """

    def __init__(self, report: Report, blame: Blame) -> None:
        self._report = report
        self._blame = blame
        self._by_type: dict[type, Provision] = {}
        self._per_plugin: dict[type, Callable[[str], object]] = {}
        self._opened: list[Provision] = []
        self._handle: Callable[[Provision], HostHandle]

    # -- who provides what ------------------------------------------------------------------------

    def give_each(self, kind: type[T], make: Callable[[str], T]) -> None:
        """Have every plugin that asks for ``kind`` get an object of its own.

        Args:
            kind: the type.
            make: given the plugin's id, returns its object; called each time, from any thread, so it is cheap.
        """
        self._per_plugin[kind] = make

    def check(self, owner: str, providers: Sequence[Provider]) -> None:
        """Refuse what a plugin cannot provide.

        Raises:
            InvalidArguments: a descriptor is none.
            Conflict: another plugin, the host itself or this plugin already provides a type.
        """
        taken = {kind: found.owner for kind, found in self._by_type.items()}
        taken |= dict.fromkeys(self._per_plugin, "host")
        for provider in providers:
            _check(owner, provider)
            if provider.type in taken:
                raise _taken(owner, provider.type, taken[provider.type])
            taken[provider.type] = owner

    def add(self, owner: str, providers: Sequence[Provider]) -> None:
        """Add what ``check`` found to be right."""
        for provider in providers:
            self._by_type[provider.type] = Provision(owner=owner, provider=provider)

    def failed(self) -> list[Provision]:
        """Those that could not be opened."""
        return [found for found in self._by_type.values() if found.state == "failed"]

    def shown(self) -> list[Json]:
        """All of them, for operators."""
        return [
            {"type": found.name, "plugin": found.owner, "state": found.state, "reason": found.reason}
            for found in self._by_type.values()
        ]

    # -- asking -----------------------------------------------------------------------------------

    def get(self, kind: type[T], plugin: str) -> T:
        """The object of a type, for one plugin. From any thread.

        Raises:
            Unavailable: nobody provides it, or it is not open; the message names plugin, type and reason.
        """
        make = self._per_plugin.get(kind)
        if make is not None:
            return cast(T, make(plugin))
        found = self._by_type.get(kind)
        if found is None:
            raise Unavailable(
                f"nothing provides {type_name(kind)}: load the plugin that does, or give Host one with provide=[...]",
                {"type": type_name(kind)},
            )
        value = found.value
        if found.state != "open":
            raise _not_open(found)
        return cast(T, value)

    async def require(self, kind: type[T], plugin: str, asking: Provision | None = None) -> T:
        """``get``, after opening what is not open yet.

        Args:
            kind: the type.
            plugin: who asks.
            asking: the provider whose ``open`` asks, if it is one.

        Raises:
            Unavailable: as for ``get``.
            Conflict: the provider that asks is itself what the other one waits for.
        """
        found = self._by_type.get(kind)
        if found is not None and found.state in ("waiting", "opening"):
            await self._waited_for(found, asking)
        return self.get(kind, plugin)

    async def _waited_for(self, wanted: Provision, asking: Provision | None) -> None:
        if asking is None:
            await self._settled(wanted)
            return
        circle = _path(wanted, asking)
        if circle:
            raise _circle([asking, *circle])
        now = asyncio.get_running_loop().time
        if not asking.waits_for:
            asking.waiting_since = now()
        asking.waits_for.append(wanted)
        try:
            await self._settled(wanted)
        finally:
            asking.waits_for.remove(wanted)
            if not asking.waits_for:
                asking.excused += now() - asking.waiting_since

    # -- opening ----------------------------------------------------------------------------------

    async def open(self, handle: Callable[[Provision], HostHandle]) -> None:
        """Open all, in the order they were added; one that fails does not hold the others up.

        Args:
            handle: makes the host as a provider's ``open`` holds it.
        """
        self._handle = handle
        for found in list(self._by_type.values()):
            await self._settled(found)

    async def _settled(self, found: Provision) -> None:
        """Wait until one is open or failed. Being cancelled here does not touch the opening itself."""
        if found.opening is None:
            found.opening = asyncio.get_running_loop().create_task(self._open(found), name=f"opens {found.name}")
        await asyncio.wait({found.opening})

    async def _open(self, found: Provision) -> None:
        loop = asyncio.get_running_loop()
        found.state = "opening"
        task = loop.create_task(_outcome(lambda: found.provider.open(self._handle(found))), name=f"open {found.name}")
        began = loop.time()
        try:
            while not task.done() and (left := found.time_left(began, loop.time())) > 0:
                await asyncio.wait({task}, timeout=left)
            late = not task.done()
            await _given_up(task)
        except asyncio.CancelledError:  # the host stops
            await _given_up(task)
            await self._close_late(found, task)
            raise
        if late:
            self._blame.missed(found.owner, f"the provider of {found.name}", found.provider.start_timeout)
            self._failed(found, f"not open within {found.provider.start_timeout:g} s", None)
            await self._close_late(found, task)
            return
        value, error = task.result()
        if error is not None:
            self._blame.raised(found.owner, f"the provider of {found.name}", error)
            self._failed(found, f"{type(error).__name__}: {error}", error)
        elif value is None:
            self._blame.failed(found.owner, f"the provider of {found.name}", "opened no object")
            self._failed(found, "open returned no object", None)
        else:
            found.value, found.state = value, "open"
            self._opened.append(found)

    async def _close_late(self, found: Provision, task: asyncio.Task[tuple[object, BaseException | None]]) -> None:
        """What came in spite of being cancelled is nobody's, so it is closed at once."""
        value = task.result()[0] if task.done() and not task.cancelled() else None
        if value is not None and found.provider.close is not None:
            await self._close(found, found.provider.close, value)

    def _failed(self, found: Provision, reason: str, error: BaseException | None) -> None:
        found.state, found.reason = "failed", reason
        self._report("provider.failed", f"{found.owner!r} cannot provide {found.name}: {reason}", error)

    # -- closing ----------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close all that are open, the last opened first; one that fails or hangs is named and left behind."""
        under_way = {found.opening for found in self._by_type.values() if found.opening is not None}
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)
        while self._opened:
            found = self._opened.pop()
            value, found.value, found.state = found.value, None, "closed"
            if found.provider.close is not None:
                await self._close(found, found.provider.close, value)

    async def _close(self, found: Provision, close: Callable[[object], object], value: object) -> None:
        task = asyncio.get_running_loop().create_task(_outcome(lambda: close(value)), name=f"close {found.name}")
        await asyncio.wait({task}, timeout=CLOSE_GRACE)
        late = not task.done()
        await _given_up(task)
        error = None if late else task.result()[1]
        if late or error is not None:
            reason = f"{type(error).__name__}: {error}" if error is not None else f"not within {CLOSE_GRACE:g} s"
            self._report("provider.close.failed", f"{found.owner!r} did not close {found.name}: {reason}", error)


async def _outcome(call: Callable[[], object]) -> tuple[object, BaseException | None]:
    """What a call of a plugin's coroutine function came to, whatever it raised; only our own cancelling passes."""
    task = asyncio.current_task()
    try:
        return await call(), None  # type: ignore[misc]  # what is no awaitable is an error like any other
    except asyncio.CancelledError as error:
        if task is None or task.cancelling():
            raise
        return None, error
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return None, error


async def _given_up(task: asyncio.Task[tuple[object, BaseException | None]]) -> None:
    """Cancel what still goes on, and wait a moment for its last words."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=LEAVE)


def type_name(kind: type) -> str:
    """A type by module and name."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _path(start: Provision, goal: Provision) -> list[Provision]:
    """The way from one to another along who waits for whom, both included; empty where there is none."""
    if start is goal:
        return [start]
    for following in start.waits_for:
        rest = _path(following, goal)
        if rest:
            return [start, *rest]
    return []


def _circle(around: Sequence[Provision]) -> Conflict:
    names = " -> ".join(f"{found.name} of {found.owner!r}" for found in around)
    return Conflict(f"providers wait for each other in a circle: {names}", {"types": [f.name for f in around]})


def _not_open(found: Provision) -> Unavailable:
    facts: dict[str, Json] = {"plugin": found.owner, "type": found.name, "reason": found.reason}
    if found.state == "failed":
        return Unavailable(f"plugin {found.owner!r} cannot provide {found.name}: {found.reason}", facts)
    why = "the host has stopped" if found.state == "closed" else "the host is starting"
    return Unavailable(f"{found.name} of plugin {found.owner!r} is not open: {why}", facts)


def _check(owner: str, provider: Provider) -> None:
    if not isinstance(provider.type, type):
        raise InvalidArguments(f"{owner} provides {provider.type!r}, which is no class")
    if not callable(provider.open):
        raise InvalidArguments(f"{owner} provides {type_name(provider.type)} without a function that opens it")


def _taken(owner: str, kind: type, holder: str) -> Conflict:
    name = type_name(kind)
    text = f"{owner} provides {name} twice" if holder == owner else f"{owner} provides {name}, as {holder} does"
    return Conflict(text, {"type": name, "owners": sorted({holder, owner})})

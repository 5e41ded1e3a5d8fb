"""What a program gives to the host it embeds: its objects, commands, queries and doors."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from trunnion.hookspecs import hookimpl
from trunnion.kernel.door import Door
from trunnion.kernel.run_handle import result_of
from trunnion.model.commands import Command, Query, command_of
from trunnion.model.contributions import Frontend, Provider
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import Json
from trunnion.model.runs import Caller, Invocation

APP = "app"
"""The id under which the embedding program contributes, as a plugin would."""

OWN_ENVIRONMENT = "TRUNNION"


class AppPlugin:
    """The embedding program as a plugin.

    Args:
        commands: descriptors, or functions and bound methods that ``@command`` was put on.
        queries: descriptors.
        provide: objects handlers get by their type, or ``Provider`` descriptors.
        frontends: names of doors and descriptors of doors of its own; only the descriptors count here.

    Raises:
        InvalidArguments: something else was given.
    """

    def __init__(
        self,
        *,
        commands: Iterable[Command | Callable[..., object]] = (),
        queries: Iterable[Query] = (),
        provide: Iterable[object] = (),
        frontends: Sequence[str | Frontend] | None = None,
    ) -> None:
        self._commands = [_command(item) for item in commands]
        self._queries = [_query(item) for item in queries]
        self._providers = [_provider(item) for item in provide]
        self._frontends = [item for item in frontends or () if isinstance(item, Frontend)]

    @hookimpl
    def trunnion_commands(self) -> Iterable[Command]:
        """Its commands."""
        return self._commands

    @hookimpl
    def trunnion_queries(self) -> Iterable[Query]:
        """Its queries."""
        return self._queries

    @hookimpl
    def trunnion_provides(self) -> Iterable[Provider]:
        """Its objects."""
        return self._providers

    @hookimpl
    def trunnion_frontends(self) -> Iterable[Frontend]:
        """Doors of its own."""
        return self._frontends


def door_names(frontends: Sequence[str | Frontend] | None) -> frozenset[str] | None:
    """The names of the only doors that are opened; None leaves it to the configuration."""
    if frontends is None:
        return None
    if isinstance(frontends, str):
        raise InvalidArguments(f"frontends is a sequence of names: give [{frontends!r}]")
    return frozenset(item.name if isinstance(item, Frontend) else item for item in frontends)


def environment(given: Mapping[str, str] | None, *, discovery: bool) -> Mapping[str, str]:
    """The environment a host reads.

    Without discovery a program's own host is not steered by variables that were meant for another one.
    """
    if given is not None:
        return given
    if discovery:
        return os.environ
    return {name: value for name, value in os.environ.items() if not name.startswith(OWN_ENVIRONMENT)}


async def run_to_result(
    door: Door, caller: Caller, command_id: str, args: Mapping[str, Json], timeout: float | None
) -> Json:
    """Run a command and return its result; cancelling the wait cancels the run.

    Raises:
        TrunnionError: it was refused, or the error of the run.
    """
    run = await door.submit(caller, Invocation(command_id=command_id, args=dict(args), timeout=timeout))
    if not run.ended:
        try:
            run = await door.wait(caller, run.id)
        except asyncio.CancelledError:
            await door.cancel(caller, run.id)
            raise
    return result_of(run)


def _command(item: object) -> Command:
    found = command_of(item)
    if found is None:
        raise InvalidArguments(
            f"{item!r} is no command: put @command on the function, or give Command.of(function, console=...)"
        )
    return found


def _query(item: object) -> Query:
    if not isinstance(item, Query):
        raise InvalidArguments(f"{item!r} is no query: give Query.of(function, console=...)")
    return item


def _provider(item: object) -> Provider:
    if isinstance(item, Provider):
        return item
    if item is None or inspect.isclass(item):
        raise InvalidArguments(f"provide takes objects and Provider descriptors, not {item!r}: give an instance")

    async def given(_: object) -> object:
        return item

    return Provider(type=type(item), open=given)

"""Files of the client's machine as arguments: brought to the host before the call, which then names their handles.

Which arguments are files is in the host's description of its commands and queries, which is asked for once.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from trunnion import InvalidArguments, Invocation, Json, TrunnionError
from trunnion.arguments import Parameters, compile_parameters
from trunnion.arguments.problems import Problem, invalid, show
from trunnion.model.uploads import ARTIFACT, UPLOAD
from trunnion.protocol.answers import MetaAnswer
from trunnion_rpc.client import Client

REMEMBERED = 64
"""Calls whose answer was lost, and what was brought for them: asked for again, they name the same files."""


class Call(NamedTuple):
    """What a client of this machine asks for."""

    name: str
    args: Mapping[str, Json] | None
    argv: Sequence[str] | None
    cwd: str | None = None
    revision: str | None = None


class Brought(NamedTuple):
    """Arguments that name handles, and what was brought for them."""

    args: dict[str, Json]
    handles: Sequence[str]


class Bringing:
    """Brings what calls name.

    Args:
        client: to the host.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._described: Mapping[str, Mapping[str, Json]] = {}
        self._compiled: dict[str, Parameters | None] = {}
        self._under_way: dict[str, Brought] = {}

    def take(self, answer: MetaAnswer) -> None:
        """Learn what there is, from an answer that was asked for anyway."""
        if answer.modified and isinstance(answer.meta, Mapping):
            self._described = dict(_by_name(answer.meta))
            self._compiled.clear()

    # -- commands -----------------------------------------------------------------------------------------

    async def before(self, wish: Invocation) -> Invocation:
        """The invocation as the host takes it: the same again for the same key.

        Raises:
            InvalidArguments: a file is not there, or is none.
            RemoteError: the host refuses what would be brought.
            Unavailable: it could not be reached.
        """
        key = wish.idempotency_key or uuid.uuid4().hex
        brought = self._under_way.get(key)
        if brought is None:
            brought = await self._brought(Call(wish.command_id, wish.args, wish.argv, wish.cwd, wish.revision))
            if brought is None:
                return wish
            self._under_way[key] = brought
            for old in list(self._under_way)[:-REMEMBERED]:
                del self._under_way[old]
        return msgspec.structs.replace(wish, args=brought.args, argv=None, idempotency_key=key)

    def done(self, wish: Invocation) -> None:
        """It was answered: the run has its files."""
        self._under_way.pop(wish.idempotency_key or "", None)

    async def in_vain(self, wish: Invocation) -> None:
        """It was refused: what was brought for it goes again."""
        brought = self._under_way.pop(wish.idempotency_key or "", None)
        await self._drop(brought.handles if brought is not None else ())

    # -- queries ------------------------------------------------------------------------------------------

    async def query(self, query_id: str, args: Mapping[str, Json] | None, argv: Sequence[str] | None) -> Json:
        """The value of a query. What was brought for it goes again.

        Raises:
            InvalidArguments: a file is not there, or is none.
            RemoteError: the host refuses.
            Unavailable: it could not be reached.
        """
        brought = await self._brought(Call(query_id, args, argv))
        if brought is None:
            return await self._client.query(query_id, args, argv=argv)
        try:
            return await self._client.query(query_id, brought.args)
        finally:
            await self._drop(brought.handles)

    # -- inside -------------------------------------------------------------------------------------------

    async def _brought(self, call: Call) -> Brought | None:
        """The arguments with handles for the files they name; None if they name none."""
        parameters = await self._parameters(call) if call.args or call.argv else None
        if parameters is None or not parameters.files:
            return None
        try:
            given = dict(call.args) if call.args is not None else parameters.parse(call.argv or ())
        except InvalidArguments:  # which the host says better
            return None
        named = files_in(parameters, given)
        paths = await asyncio.to_thread(_located, named, Path(call.cwd) if call.cwd is not None else Path.cwd())
        if not paths:
            return None
        handles = await self._handles(paths)
        return Brought(parameters.rename_files(given, lambda _, file: handles.get(file, file)), list(handles.values()))

    async def _handles(self, paths: Mapping[str, Path]) -> dict[str, str]:
        """A handle for each file; none stays when one of them cannot be brought."""
        handles: dict[str, str] = {}
        try:
            for name, path in paths.items():
                try:
                    handles[name] = (await self._client.files.upload(path)).handle
                except OSError as error:
                    raise InvalidArguments(f"{path} cannot be read: {error.strerror}") from None
        except BaseException:
            await self._drop(handles.values())
            raise
        return handles

    async def _drop(self, handles: Iterable[str]) -> None:
        for handle in handles:
            with suppress(TrunnionError):  # it goes by itself in time
                await self._client.files.drop(handle.removeprefix(UPLOAD))

    async def _parameters(self, call: Call) -> Parameters | None:
        """The arguments of a command or query; None where the host has none of that name, or they cannot be read."""
        found = self._described.get(call.name)
        if found is None or call.revision not in (None, found.get("revision")):
            self.take(await self._client.meta())
            found = self._described.get(call.name)
        if found is None:
            return None
        if call.name not in self._compiled:
            self._compiled[call.name] = _parameters_of(found)
        return self._compiled[call.name]


def files_in(parameters: Parameters, args: Mapping[str, Json]) -> dict[str, str]:
    """What arguments name that are files of the client's machine, each with the argument it is first named in."""
    found: dict[str, str] = {}

    def note(argument: str, file: str) -> str:
        if not file.startswith((UPLOAD, ARTIFACT)):
            found.setdefault(file, argument)
        return file

    parameters.rename_files(args, note)
    return found


def _located(named: Mapping[str, str], folder: Path) -> dict[str, Path]:
    """Where the files are.

    Raises:
        InvalidArguments: something is not there, or is no file that could be brought.
    """
    paths = {file: folder / file for file in named}
    problems = [
        Problem(named[file], f"{show(file)} {fault}") for file, path in paths.items() if (fault := _fault(path))
    ]
    if problems:
        raise invalid(problems)
    return paths


def _fault(path: Path) -> str:
    try:
        if path.is_file():
            return ""
        if path.is_dir():
            return "is a folder, and only single files are brought to a host elsewhere"
        if path.exists():
            return "is no regular file, which alone are brought to a host elsewhere"
    except (OSError, ValueError):
        return "cannot be looked at"
    return "is no file of this machine, from which it would be brought to the host"


def _by_name(meta: Mapping[str, Json]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """Descriptors of all commands and queries by id and alias; ids count first."""
    entries = [entry for kind in ("queries", "commands") for entry in _objects(meta.get(kind))]
    for entry in entries:
        aliases = entry.get("aliases")
        yield from ((str(alias), entry) for alias in (aliases if isinstance(aliases, list) else ()))
    yield from ((str(entry.get("id")), entry) for entry in entries)


def _objects(value: Json) -> list[Mapping[str, Json]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _parameters_of(described: Mapping[str, Json]) -> Parameters | None:
    """Arguments compiled as the host does it; None where this version cannot: then only the host knows them."""
    args, argv = described.get("args"), described.get("argv")
    names = argv.get("names") if isinstance(argv, Mapping) else None
    positional = tuple(map(str, names)) if isinstance(names, list) else ()
    try:
        return compile_parameters(_elsewhere, dict(args) if isinstance(args, Mapping) else {}, positional, judged=True)
    except TrunnionError:
        return None


def _elsewhere(args: Mapping[str, Json]) -> None:
    """Stands for the handler, which is in the host."""

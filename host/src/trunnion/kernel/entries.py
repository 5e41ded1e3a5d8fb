"""Commands, queries and streams with everything derived from them once, at registration."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec import UNSET

from trunnion.access.matching import Matcher
from trunnion.access.policy import Target
from trunnion.arguments import Bound, Parameters, compile_parameters
from trunnion.isolation.place import place_of
from trunnion.isolation.wire import Place
from trunnion.kernel.canonical import digest
from trunnion.kernel.locks import LockKey, compile_lock
from trunnion.model.commands import Command, Lock, Query, Validate
from trunnion.model.contributions import StreamSource
from trunnion.model.errors import InternalError, InvalidArguments
from trunnion.model.events import RUN_STREAM
from trunnion.model.json import Json, decode, encode
from trunnion.model.names import plugin_of

Descriptor: TypeAlias = dict[str, Json]
Watch: TypeAlias = Callable[[str, str, Validate], Validate]
"""Given a plugin, a name for people and a validator, returns one that is watched."""
OPENED = 1000
"""Streams of one family whose targets are remembered."""


class CommandEntry(msgspec.Struct, eq=False):
    """A command, compiled.

    Attributes:
        revision: sha256 over the canonical form of the descriptor; availability is no part of it.
        lock: how its runs find their lane, None for parallel runs.
        is_async: whether its runs need no handler thread.
        place: where a process of its own finds the handler, None for one that runs in the host.
        validator: the command's own one, watched.
        given: what of the command its author may have changed in place since, as it was.
        described: its part of meta in canonical JSON, by availability, once it was asked for.
        clean: that part without secrets, with the part as it was and what searched it.
    """

    command: Command
    parameters: Parameters
    owner: str
    revision: str
    descriptor: Descriptor
    lock: LockKey | None
    is_async: bool
    available: bool
    target: Target
    validator: Validate | None
    place: Place | None = None
    given: bytes = b""
    described: dict[bool, bytes] = {}
    clean: tuple[Matcher, bytes, bytes] | None = None

    @property
    def id(self) -> str:
        """The command's dotted name."""
        return self.command.id

    @property
    def names(self) -> tuple[str, ...]:
        """Id and aliases."""
        return (self.command.id, *self.command.aliases)

    def again(self, command: Command, available: bool) -> CommandEntry | None:
        """Itself, when its owner gives the same command once more; None if there is something to compile."""
        if self.command is not command or self.given != _changeable(command):
            return None
        return self if self.available == available else msgspec.structs.replace(self, available=available)

    def validate(self, bound: Bound) -> None:
        """Have the command's own validator look at arguments that fit its schema.

        Raises:
            InvalidArguments: it refuses them.
            InternalError: it failed itself.
        """
        if self.validator is None:
            return
        try:
            problem = self.validator(bound.values)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            raise InternalError(f"the validator of {self.id} failed: {type(error).__name__}") from error
        if problem is not None:
            raise InvalidArguments(f"{self.id}: {problem}", {"problems": [{"path": "", "message": problem}]})


class QueryEntry(msgspec.Struct, eq=False):
    """A query, compiled."""

    query: Query
    parameters: Parameters
    owner: str
    revision: str
    descriptor: Descriptor
    is_async: bool
    available: bool
    target: Target
    described: dict[bool, bytes] = {}
    clean: tuple[Matcher, bytes, bytes] | None = None

    @property
    def id(self) -> str:
        """The query's dotted name."""
        return self.query.id

    @property
    def names(self) -> tuple[str, ...]:
        """Id and aliases."""
        return (self.query.id, *self.query.aliases)


class StreamEntry(msgspec.Struct, eq=False):
    """A family of streams."""

    source: StreamSource
    owner: str
    revision: str
    descriptor: Descriptor
    target: Target
    opened: dict[str, Target] = {}

    def matches(self, name: str) -> bool:
        """Whether a stream of this name belongs to the family."""
        pattern = self.source.pattern
        return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern

    def target_of(self, name: str) -> Target:
        """One stream of the family, as policy looks at it. Runs' streams are judged by their run, so as a family."""
        if name == self.source.pattern or name.startswith(RUN_STREAM):
            return self.target
        found = self.opened.get(name)
        if found is None:
            if len(self.opened) >= OPENED:
                self.opened.clear()
            found = self.opened[name] = msgspec.structs.replace(self.target, name=name)
        return found


class Compiler(msgspec.Struct, frozen=True):
    """Turns descriptors into entries.

    Attributes:
        context_types: annotations by which a handler asks for its context.
        default_lock: lock template of commands that do not say.
        watch: keeps an eye on validators.
    """

    context_types: tuple[type, ...] = ()
    default_lock: str | None = "{command_id}"
    watch: Watch = lambda plugin, what, validator: validator

    def command(self, owner: str, command: Command, available: bool) -> CommandEntry:
        """Compile a command.

        Raises:
            InvalidArguments: its signature, schema or lock template cannot be used, or a process of its own
                could not find the handler.
        """
        place = place_of(command.handler) if command.isolate == "process" else None
        parameters = compile_parameters(
            command.handler,
            command.args,
            command.positional,
            context_types=self.context_types,
            complete=command.complete,
        )
        chosen = self.default_lock if command.lock is UNSET else command.lock
        lock = Lock(chosen) if isinstance(chosen, str) else chosen
        descriptor = _command_descriptor(owner, command, parameters, lock)
        revision = digest(descriptor)
        return CommandEntry(
            command,
            parameters,
            owner,
            revision,
            descriptor,
            None if lock is None else compile_lock(lock, command.id, parameters.schema),
            place is not None or is_coroutine(command.handler),
            available,
            Target("command", command.id, revision, command.role, command.expose, command.local),
            command.validate and self.watch(plugin_of(owner), f"the validator of {command.id}", command.validate),
            place,
            _changeable(command),
        )

    def query(self, owner: str, query: Query, available: bool) -> QueryEntry:
        """Compile a query.

        Raises:
            InvalidArguments: its signature or schema cannot be used.
        """
        parameters = compile_parameters(
            query.handler, query.args, query.positional, context_types=self.context_types, complete=query.complete
        )
        descriptor = _query_descriptor(owner, query, parameters)
        revision = digest(descriptor)
        target = Target("query", query.id, revision, query.role, query.expose)
        return QueryEntry(
            query, parameters, owner, revision, descriptor, is_coroutine(query.handler), available, target
        )

    def stream(self, owner: str, source: StreamSource) -> StreamEntry:
        """Compile a family of streams."""
        descriptor: Descriptor = {
            "pattern": source.pattern,
            "title": source.title,
            "description": source.description,
            "role": source.role,
            "expose": sorted(source.expose),
            "plugin": owner,
        }
        revision = digest(descriptor)
        target = Target("stream", source.pattern, revision, source.role, source.expose)
        return StreamEntry(source, owner, revision, descriptor, target)


def is_coroutine(handler: Callable[..., object]) -> bool:
    """Whether calling a handler makes a coroutine; a callable object counts by its ``__call__``."""
    return inspect.iscoroutinefunction(handler) or (
        not inspect.isroutine(handler) and inspect.iscoroutinefunction(type(handler).__call__)
    )


def _changeable(command: Command) -> bytes:
    return encode((command.args, command.returns, command.complete))


def _argv(parameters: Parameters) -> Descriptor:
    shape = parameters.argv
    return {"min": shape.min, "max": shape.max, "variadic": shape.variadic, "names": list(shape.positional)}


def _command_descriptor(owner: str, command: Command, parameters: Parameters, lock: Lock | None) -> Descriptor:
    return {
        "id": command.id,
        "title": command.title,
        "description": command.description,
        "examples": list(command.examples),
        "aliases": list(command.aliases),
        "args": parameters.schema,
        "argv": _argv(parameters),
        "returns": command.returns,
        "category": None if command.category is None else decode(encode(command.category)),
        "effect": command.effect,
        "confirm": command.confirm,
        "role": command.role,
        "expose": sorted(command.expose),
        "local": command.local,
        "lock": None if lock is None else {"key": lock.key, "limit": lock.limit},
        "timeout": command.timeout,
        "retry": _retry(command),
        "abandon": command.abandon,
        "isolate": command.isolate,
        "deprecated": command.deprecated,
        "http": command.http,
        "complete": dict(command.complete),
        "keep": command.keep,
        "scope": command.scope,
        "plugin": owner,
    }


def _retry(command: Command) -> Json:
    retry = command.retry
    return None if retry is None else {"attempts": retry.attempts, "codes": sorted(retry.codes_for(command.effect))}


def _query_descriptor(owner: str, query: Query, parameters: Parameters) -> Descriptor:
    return {
        "id": query.id,
        "title": query.title,
        "description": query.description,
        "examples": list(query.examples),
        "aliases": list(query.aliases),
        "args": parameters.schema,
        "argv": _argv(parameters),
        "returns": query.returns,
        "role": query.role,
        "expose": sorted(query.expose),
        "timeout": query.timeout,
        "http": query.http,
        "complete": dict(query.complete),
        "plugin": owner,
    }

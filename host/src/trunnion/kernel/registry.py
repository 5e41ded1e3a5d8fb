"""What there is: commands, queries, streams and consoles, in sets that owners add and withdraw at run time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from trunnion.access.directory import covers
from trunnion.kernel.consoles import by_path, in_force, problems, upwards
from trunnion.kernel.entries import CommandEntry, Compiler, QueryEntry, StreamEntry
from trunnion.model.commands import Command, Query
from trunnion.model.contributions import Console, MetaSection, StreamSource
from trunnion.model.errors import Conflict, NotFound
from trunnion.model.names import console_of, plugin_of

SLICE = 25
"""Commands of a large set that are compiled in one turn of the loop; each takes a quarter of a millisecond."""


class Contributed(msgspec.Struct, frozen=True, kw_only=True):
    """The set one owner adds: a plugin, or one driver instance of a plugin."""

    commands: Sequence[Command] = ()
    queries: Sequence[Query] = ()
    streams: Sequence[StreamSource] = ()
    consoles: Sequence[Console] = ()
    sections: Sequence[MetaSection] = ()


class Named(Protocol):
    """An entry that answers to names."""

    owner: str

    @property
    def id(self) -> str:
        """The dotted name."""

    @property
    def names(self) -> tuple[str, ...]:
        """Id and aliases."""


class _Set(msgspec.Struct):
    commands: list[CommandEntry]
    queries: list[QueryEntry]
    streams: list[StreamEntry]
    consoles: dict[str, Console]
    sections: list[MetaSection]


class Registry:
    """All sets of all owners. Changed and read on the kernel loop only."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._sets: dict[str, _Set] = {}
        self._commands: dict[str, CommandEntry] = {}
        self._queries: dict[str, QueryEntry] = {}
        self._commands_by_id: list[CommandEntry] | None = None
        self.generation = 0
        self.listeners: list[Callable[[], None]] = []

    # -- changing ---------------------------------------------------------------------------------

    def replace(self, owner: str, contributed: Contributed, *, available: bool = True) -> None:
        """Add an owner's set, in place of the one it had.

        Raises:
            Conflict: a name is taken, here or by another owner; nothing has changed.
            InvalidArguments: a signature, schema or lock cannot be used; nothing has changed.
        """
        self._prepared({owner: self._compile(owner, contributed, available)})()

    async def bring(self, owner: str, contributed: Contributed, *, available: bool = True) -> None:
        """``replace`` for large sets: others have their turn while it is compiled, then it is there as one change.

        Of two that go on at once for one owner, the one that ends last counts.

        Raises:
            Conflict: a name is taken, here or by another owner; nothing has changed.
            InvalidArguments: a signature, schema or lock cannot be used; nothing has changed.
        """
        entries = []
        for count, command in enumerate(contributed.commands, 1):
            entries.append(self._command(owner, command, available))
            if count % SLICE == 0:
                await asyncio.sleep(0)
        fresh = self._compile(owner, msgspec.structs.replace(contributed, commands=()), available)
        fresh.commands = entries
        swap = self._prepared({owner: fresh})
        for entry in entries:  # one that was there before may have been marked meanwhile
            entry.available = available
        swap()

    def prepare_all(self, contributed: Mapping[str, Contributed]) -> Callable[[], None]:
        """Judge the sets of several owners together; each stays as available as it is.

        Returns:
            Puts all of them in the place of those the owners had, as one change. It does not raise, and holds
            only while nothing else is changed in between.

        Raises:
            Conflict: a name is taken.
            InvalidArguments: a signature, schema or lock cannot be used.
        """
        fresh = {owner: self._compile(owner, new, self._is_available(owner)) for owner, new in contributed.items()}
        return self._prepared(fresh)

    def replace_all(self, contributed: Mapping[str, Contributed]) -> None:
        """Replace the sets of several owners, all or none of them, as one change.

        Raises:
            Conflict: a name is taken; nothing has changed.
            InvalidArguments: a signature, schema or lock cannot be used; nothing has changed.
        """
        self.prepare_all(contributed)()

    def _prepared(self, fresh: Mapping[str, _Set]) -> Callable[[], None]:
        """Only what is new is looked at, so that a change of one plugin's set costs nothing for those of others."""
        commands = _by_name((e for s in fresh.values() for e in s.commands), fresh)
        queries = _by_name((e for s in fresh.values() for e in s.queries), fresh)
        for name in queries.keys() & commands.keys():
            raise _clash(name, commands[name], queries[name], fresh)
        newcomers: dict[str, CommandEntry | QueryEntry] = {**commands, **queries}
        for name, entry in newcomers.items():
            held = self.get(name)
            if held is not None and held.owner not in fresh:
                raise _clash(name, held, entry, fresh)
        streams = [e for s in fresh.values() for e in s.streams]
        if streams:
            kept = [e for owner, s in self._sets.items() if owner not in fresh for e in s.streams]
            _refuse_shared(streams, [*kept, *streams])

        def swap() -> None:
            self._forget(fresh)
            self._sets.update(fresh)
            self._commands.update(commands)
            self._queries.update(queries)
            self._changed()

        return swap

    def _forget(self, owners: Iterable[str]) -> None:
        """Nothing answers any more to the names of these owners."""
        for owner in owners:
            old = self._sets.get(owner)
            if old is not None:
                _drop_names(self._commands, old.commands)
                _drop_names(self._queries, old.queries)

    def _is_available(self, owner: str) -> bool:
        known = self._sets.get(owner)
        entries: list[CommandEntry | QueryEntry] = [*known.commands, *known.queries] if known is not None else []
        return all(entry.available for entry in entries)

    def withdraw(self, owner: str) -> None:
        """Remove an owner's set; nothing happens if it has none."""
        if owner in self._sets:
            self._forget((owner,))
            del self._sets[owner]
            self._changed()

    def set_available(self, owner: str, available: bool) -> None:
        """Mark an owner's commands and queries as there or not; they stay registered.

        Raises:
            NotFound: the owner has no set.
        """
        if owner not in self._sets:
            raise NotFound(f"nothing is registered for {owner!r}")
        entries: list[CommandEntry | QueryEntry] = [*self._sets[owner].commands, *self._sets[owner].queries]
        if any(entry.available != available for entry in entries):
            for entry in entries:
                entry.available = available
            self._changed()

    def _compile(self, owner: str, contributed: Contributed, available: bool) -> _Set:
        return _Set(
            [self._command(owner, c, available) for c in contributed.commands],
            [self._compiler.query(owner, q, available) for q in contributed.queries],
            [self._compiler.stream(owner, s) for s in contributed.streams],
            by_path(owner, contributed.consoles),
            list(contributed.sections),
        )

    def _command(self, owner: str, command: Command, available: bool) -> CommandEntry:
        """What has not changed since its owner last gave it is not compiled again."""
        known = self._commands.get(command.id)
        again = known.again(command, available) if known is not None and known.owner == owner else None
        return again or self._compiler.command(owner, command, available)

    def _changed(self) -> None:
        self.generation += 1
        self._commands_by_id = None
        for listener in list(self.listeners):
            listener()

    # -- reading ----------------------------------------------------------------------------------

    def command(self, name: str) -> CommandEntry | None:
        """The command of an id or alias."""
        return self._commands.get(name)

    def query(self, name: str) -> QueryEntry | None:
        """The query of an id or alias."""
        return self._queries.get(name)

    def get(self, name: str) -> CommandEntry | QueryEntry | None:
        """The command or query of an id or alias."""
        return self._commands.get(name) or self._queries.get(name)

    def stream(self, name: str) -> StreamEntry | None:
        """The family a stream belongs to; of several, the one with the longest pattern."""
        found = [e for s in self._sets.values() for e in s.streams if e.matches(name)]
        return max(found, key=lambda e: len(e.source.pattern), default=None)

    def owners(self) -> list[str]:
        """Who has a set."""
        return sorted(self._sets)

    def all_commands(self) -> list[CommandEntry]:
        """Every command, by id."""
        if self._commands_by_id is None:
            every = (e for s in self._sets.values() for e in s.commands)
            self._commands_by_id = sorted(every, key=lambda e: e.command.id)
        return list(self._commands_by_id)

    def all_queries(self) -> list[QueryEntry]:
        """Every query, by id."""
        return sorted((e for s in self._sets.values() for e in s.queries), key=lambda e: e.id)

    def all_streams(self) -> list[StreamEntry]:
        """Every family of streams, by pattern."""
        return sorted((e for s in self._sets.values() for e in s.streams), key=lambda e: e.source.pattern)

    def sections(self) -> list[MetaSection]:
        """Every meta section, by point and id."""
        return sorted((m for s in self._sets.values() for m in s.sections), key=lambda m: (m.point, m.id))

    def consoles(self) -> list[Console]:
        """Every console but the root, described or not, by path."""
        described = {path: c for path, (_, c) in in_force(self._described()).items()}
        ids = [e.id for e in self.all_commands()] + [e.id for e in self.all_queries()]
        paths = {each for path in [*described, *map(console_of, ids)] for each in upwards(path)}
        return [described.get(path) or Console(path=path) for path in sorted(paths)]

    def root(self) -> Console:
        """The main console, under all others."""
        found = in_force(self._described()).get("")
        return found[1] if found is not None else Console(path="")

    def console_problems(self) -> list[str]:
        """What is wrong with the descriptions of consoles, in sentences."""
        found = problems(self._described(), self._commands.__contains__, self._queries.__contains__)
        return list(found)

    def _described(self) -> dict[str, dict[str, Console]]:
        return {owner: s.consoles for owner, s in self._sets.items() if s.consoles}

    def children(self, path: str) -> list[Console]:
        """The consoles directly above one; of the root, the outermost ones. In their order."""
        found = [c for c in self.consoles() if console_of(c.path) == path]
        return sorted(found, key=lambda c: (c.order, c.path))

    def commands(self, path: str) -> list[CommandEntry]:
        """The commands directly in a console."""
        return [e for e in self.all_commands() if console_of(e.id) == path]


E = TypeVar("E", bound=Named)


def _by_name(entries: Iterable[E], newcomers: Collection[str]) -> dict[str, E]:
    names: dict[str, E] = {}
    for entry in entries:
        for name in entry.names:
            if name in names:
                raise _clash(name, names[name], entry, newcomers)
            names[name] = entry
    return names


def _drop_names(names: dict[str, E], entries: Iterable[E]) -> None:
    for entry in entries:
        for name in entry.names:
            del names[name]


def _refuse_shared(newcomers: Iterable[StreamEntry], families: Sequence[StreamEntry]) -> None:
    """No stream belongs to the families of two plugins: the narrower one would say who may follow the other's.

    Raises:
        Conflict: one does.
    """
    for new in newcomers:
        pattern, plugin = new.source.pattern, plugin_of(new.owner)
        for other in families:
            if plugin_of(other.owner) != plugin and covers(other.source.pattern, pattern):
                raise Conflict(
                    f"{new.owner} wants the streams {pattern!r}, some of which {other.owner} has as "
                    f"{other.source.pattern!r}",
                    {"name": pattern, "owners": [other.owner, new.owner]},
                )


def _clash(name: str, one: Named, other: Named, newcomers: Collection[str]) -> Conflict:
    if one.owner == other.owner:
        return Conflict(f"{one.owner} declares the name {name!r} twice", {"name": name, "owners": [one.owner]})
    holder, newcomer = (one, other) if other.owner in newcomers else (other, one)
    return Conflict(
        f"{newcomer.owner} wants the name {name!r}, which {holder.owner} already has",
        {"name": name, "owners": [holder.owner, newcomer.owner]},
    )

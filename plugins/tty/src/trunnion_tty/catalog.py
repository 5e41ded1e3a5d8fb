"""What the host offers, as its meta tells it: commands, queries and consoles, found by the names people type. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from trunnion import Console, InvalidArguments, Json, TrunnionError
from trunnion_tty.lines import Options, options_of
from trunnion_tty.settings import ShellSettings, read_settings

if TYPE_CHECKING:
    from trunnion.arguments import Parameters

Kind = Literal["command", "query"]


class Entry:
    """A command or a query.

    Attributes:
        id: its dotted name; ``within`` is the path of its console, and ``last`` what it is called there.
        kind: which of the two it is.
        described: all that meta says of it.
    """

    def __init__(self, kind: Kind, described: Mapping[str, Json]) -> None:
        self.id = str(described.get("id"))
        self.within, _, self.last = self.id.rpartition(".")
        self.kind: Kind = kind
        self.described = described

    @property
    def title(self) -> str:
        """What it does, in a few words."""
        return str(self.described.get("title") or "")

    @property
    def revision(self) -> str:
        """Of its descriptor: sent along, so that what was looked at is what runs."""
        return str(self.described.get("revision") or "")

    @property
    def available(self) -> bool:
        """Whether it can be called now; a command of a driver that is down cannot."""
        return bool(self.described.get("available", True))

    @property
    def everywhere(self) -> bool:
        """Whether it appears in every console."""
        return self.described.get("scope") == "global"

    @property
    def confirm(self) -> str:
        """What a person is asked first, ``""`` for nothing."""
        return str(self.described.get("confirm") or "")

    @property
    def aliases(self) -> list[str]:
        """Its further names."""
        return _strings(self.described.get("aliases"))

    @cached_property
    def names(self) -> frozenset[str]:
        """Its arguments."""
        return frozenset(self._properties)

    @cached_property
    def options(self) -> Options:
        """What the words of its command line are read by."""
        if self.parameters is not None:
            return options_of(self.parameters.options, self.parameters.takes_value)
        return options_of({name: name.replace("_", "-") for name in self.names}, lambda _: False)

    @cached_property
    def secrets(self) -> list[str]:
        """Arguments that are asked for and never typed in a line."""
        if self.parameters is not None:
            return [name for name in self._properties if name in self.parameters.secret]
        return [name for name, part in self._properties.items() if isinstance(part, Mapping) and part.get("writeOnly")]

    @cached_property
    def required(self) -> list[str]:
        """Arguments that have to be given."""
        args = self.described.get("args")
        return _strings(args.get("required")) if isinstance(args, Mapping) else []

    @cached_property
    def parameters(self) -> Parameters | None:
        """Its arguments compiled as the host does it; None where this version cannot, then only the host checks."""
        args, argv, complete = (self.described.get(key) for key in ("args", "argv", "complete"))
        positional = tuple(_strings(argv.get("names"))) if isinstance(argv, Mapping) else ()
        offered = {str(k): str(v) for k, v in complete.items()} if isinstance(complete, Mapping) else {}
        from trunnion.arguments import compile_parameters

        try:
            return compile_parameters(_elsewhere, dict(_object(args)), positional, complete=offered, judged=True)
        except TrunnionError:
            return None

    @property
    def _properties(self) -> Mapping[str, Json]:
        return _object(_object(self.described.get("args")).get("properties"))


def _elsewhere(args: Mapping[str, Json]) -> None:
    """Stands for the handler, which is in the host."""


def _never(name: str) -> bool:
    """Nothing has a meaning of its own."""
    return False


class Found(NamedTuple):
    """What a typed name stands for.

    Attributes:
        entry: the command or query.
        shown: the name it has where the person is.
    """

    entry: Entry
    shown: str


class Catalog:
    """All that can be called, and the tree it lies in.

    Args:
        meta: the descriptor, as ``meta.get`` answers it.
    """

    def __init__(self, meta: Mapping[str, Json]) -> None:
        self._entries: dict[str, Entry] = {}
        self._aliases: dict[str, Entry] = {}
        for kind in KINDS:
            for described in _objects(meta.get(kind)):
                self._add(Entry(KINDS[kind], described))
        self.revision = str(meta.get("revision") or "")
        self.consoles = {console.path: console for console in map(_console, _objects(meta.get("consoles")))}
        self.consoles.setdefault("", Console(path=""))
        self._behind = {
            name for c in self.consoles.values() for name in (c.on_miss, c.completer, c.validator) if name
        }  # fmt: skip
        self.host = _object(meta.get("host"))
        self.unusable = [_unusable(p) for p in _objects(meta.get("plugins")) if p.get("state") in UNUSABLE]
        self.settings: ShellSettings = read_settings(_section(meta, "tty", "settings"))

    def _add(self, entry: Entry) -> None:
        self._entries[entry.id] = entry
        for alias in entry.aliases:
            self._aliases[alias] = entry

    def console(self, path: str) -> Console:
        """How a console is described; one that nobody described has its path alone."""
        return self.consoles.get(path) or Console(path=path)

    def get(self, name: str) -> Entry | None:
        """The command or query of a full name or alias."""
        return self._entries.get(name) or self._aliases.get(name)

    def find(self, name: str, console: str) -> Entry | None:
        """What a name stands for in a console: first there, then in those above, then by its full name.

        What appears in every console comes last. A name that begins with a dot is a full one.
        """
        if name.startswith("."):
            return self.get(name[1:])
        for prefix in _upwards(console):
            if (entry := self.get(f"{prefix}{name}")) is not None:
                return entry
        return self._everywhere.get(name)

    def find_console(self, name: str, console: str) -> str | None:
        """The path of the console a name stands for: below this one, then below those above, then by its full path."""
        if name.startswith("."):
            return name[1:] if name[1:] in self.consoles else None
        return next((f"{prefix}{name}" for prefix in _upwards(console) if f"{prefix}{name}" in self.consoles), None)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def here(self, console: str, taken: Callable[[str], bool] = _never, beginning: str = "") -> Iterator[Found]:
        """What is in a console itself, and what appears in every one, by short name, in the order of that.

        What takes the lines of a console, completes or judges them is not meant to be called by hand and left out.

        Args:
            console: its path.
            taken: whether a name means something else where it is typed.
            beginning: of the names that are of interest.
        """
        prefix = f"{console}." if console else ""
        found = [entry for entry in self._beginning(prefix + beginning) if entry.within == console]
        found += [e for e in self._global if e.within != console and e.last.startswith(beginning)]
        for entry in sorted(found, key=attrgetter("last")):
            if entry.id not in self._behind:
                yield Found(entry, self.shown(entry, console, taken))

    def others(self, console: str) -> Iterator[tuple[str, Console]]:
        """All consoles but this one and the main one, those below it first, each with the shortest name it has here."""
        beginning = f"{console}." if console else ""
        for path, found in sorted(self.consoles.items(), key=lambda item: not item[0].startswith(beginning)):
            if path and path != console:
                names = (path.removeprefix(beginning), path)
                yield next((n for n in names if self.find_console(n, console) == path), f".{path}"), found

    def below(self, console: str) -> Iterator[Console]:
        """Consoles directly within another one."""
        for path, found in self.consoles.items():
            if path and path.rpartition(".")[0] == console:
                yield found

    def names(self, console: str, taken: Callable[[str], bool] = _never, beginning: str = "") -> Iterator[Found]:
        """All there is, with the shortest name for each that stands for it in a console.

        Args:
            console: its path.
            taken: whether a name means something else where it is typed.
            beginning: of the names that are of interest; some others may come, too.
        """
        for entry in self._called(console, beginning) if beginning else self:
            yield Found(entry, self.shown(entry, console, taken))

    def full_names(self, console: str, beginning: str) -> Iterator[Found]:
        """The full names that begin so, and stand for something in a console."""
        for entry in self._beginning(beginning):
            if self.find(entry.id, console) is entry:
                yield Found(entry, entry.id)
        if beginning.startswith("."):
            yield from (Found(entry, f".{entry.id}") for entry in self._beginning(beginning[1:]))

    def shown(self, entry: Entry, console: str, taken: Callable[[str], bool]) -> str:
        """The shortest name that stands for an entry in a console."""
        names = self.calls(entry, console)
        return next((n for n in names if self.find(n, console) is entry and not taken(n)), f".{entry.id}")

    def calls(self, entry: Entry, console: str) -> list[str]:
        """What an entry may be called in a console, the shortest first; another one may have the name."""
        names = [entry.last] if entry.everywhere or entry.within == console else []
        if console and entry.id.startswith(f"{console}."):
            names.append(entry.id[len(console) + 1 :])
        return [*names, entry.id]

    def _called(self, console: str, beginning: str) -> Iterable[Entry]:
        """Those that may be called by a name that begins so: to find out whether that counts takes much longer."""
        found = [*self._beginning(beginning), *self._beginning(f"{console}.{beginning}" if console else beginning)]
        if beginning.startswith("."):
            found += self._beginning(beginning[1:])
        found += [entry for entry in self._global if entry.last.startswith(beginning)]
        return dict.fromkeys(found)

    def _beginning(self, text: str) -> Iterator[Entry]:
        """Those whose full names begin so."""
        at = bisect_left(self._sorted, text, key=attrgetter("id"))
        while at < len(self._sorted) and self._sorted[at].id.startswith(text):
            yield self._sorted[at]
            at += 1

    @cached_property
    def _sorted(self) -> list[Entry]:
        return sorted(self, key=attrgetter("id"))

    @cached_property
    def _everywhere(self) -> dict[str, Entry]:
        """What appears in every console, by its last name; of two, the first counts."""
        return {entry.last: entry for entry in reversed(self._global)}

    @cached_property
    def _global(self) -> list[Entry]:
        return [entry for entry in self if entry.everywhere]


UNUSABLE = frozenset({"broken", "incompatible"})
"""States of plugins that are there and do nothing."""

KINDS: Mapping[str, Kind] = {"commands": "command", "queries": "query"}
"""Where meta lists each kind."""


def _upwards(console: str) -> Iterator[str]:
    """What may be put before a name: this console, those above it, nothing."""
    while console:
        yield f"{console}."
        console = console.rpartition(".")[0]
    yield ""


def _console(described: Mapping[str, Json]) -> Console:
    """A console as meta tells it. One of a later version that does not fit keeps its path and nothing else."""
    fields = {name: described[name] for name in Console.__struct_fields__ if name in described}
    try:
        return msgspec.convert(fields, Console)
    except (msgspec.ValidationError, ValueError):
        return Console(path=str(described.get("path") or ""))


def _unusable(plugin: Mapping[str, Json]) -> str:
    """A sentence about a plugin that does nothing; admins are told why."""
    name, why = str(plugin.get("id")), str(plugin.get("reason") or "")
    return f"plugin {name} is {plugin.get('state')}" + (f": {why.removeprefix(f'plugin {name!r} ')}" if why else "")


def _section(meta: Mapping[str, Json], point: str, section: str) -> Json:
    wanted = (s for s in _objects(meta.get("sections")) if (s.get("point"), s.get("id")) == (point, section))
    return next((s.get("data") for s in wanted), None) or {}


def _objects(value: Json) -> list[Mapping[str, Json]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, Sequence) else []


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _strings(value: Json) -> list[str]:
    return [str(entry) for entry in value] if isinstance(value, Sequence) and not isinstance(value, str) else []


def problems_of(error: InvalidArguments) -> list[tuple[str, str]]:
    """Path and message of each problem of refused arguments."""
    found = _objects(error.details.get("problems"))
    return [(str(p.get("path") or ""), str(p.get("message") or "")) for p in found] or [("", error.message)]

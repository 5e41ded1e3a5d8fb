"""Meta, version 1: everything a caller may see, as one JSON document with a revision."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from trunnion.access.matching import Matcher
from trunnion.access.policy import Policy
from trunnion.access.redaction import Redactor
from trunnion.kernel.blame import Blame
from trunnion.kernel.canonical import canonical, digest
from trunnion.kernel.consoles import upwards
from trunnion.kernel.entries import CommandEntry, QueryEntry
from trunnion.kernel.registry import Registry
from trunnion.model.contributions import SYSTEM_SHELL, Console, MetaSection, PluginRecord
from trunnion.model.json import Json, decode, encode
from trunnion.model.names import console_of
from trunnion.model.runs import Caller

META_VERSION = 1
PLUGINS = "host.plugins"
"""The query that lists plugins: they are in the meta of whoever may know of it."""

NAMING = ("completer", "validator", "on_miss", "on_enter", "on_leave")
"""Fields of a console that name a command or a query."""


class Meta(msgspec.Struct, frozen=True):
    """The descriptor as one caller sees it.

    Attributes:
        revision: sha256 over the sorted (id, digest) pairs of what is in it; the same for the same content.
        generation: counts changes of the registry and of the policy since the host started.
        body: the document as JSON.
        blamed: how much of the ledger of blame is in it; None where nothing of that is shown.
    """

    revision: str
    generation: int
    body: bytes
    blamed: int | None = None


class MetaBuilder:
    """Builds meta, once per caller and generation.

    Args:
        host: facts about the host that stand in every document.
        plugins: tells what became of each plugin.
        redactor: cuts what the whole host keeps from sight, wherever a descriptor says it.
        blame: what plugins are to blame for, told to admins; no part of the revision, since nothing to run changes.
    """

    LIMIT = 256
    MOST = 64 << 20
    """Callers and bytes of documents that are remembered, the last one's beside them."""

    def __init__(
        self,
        registry: Registry,
        policy: Policy,
        host: dict[str, Json],
        plugins: Callable[[], Sequence[PluginRecord]],
        redactor: Redactor,
        blame: Blame,
    ) -> None:
        self._redactor = redactor
        self._blame = blame
        self._registry = registry
        self._policy = policy
        self._host = host
        self._plugins = plugins
        self._built: dict[Caller, tuple[Matcher, Meta]] = {}

    @property
    def generation(self) -> int:
        """Counts changes of what anybody may see."""
        return self._registry.generation + self._policy.generation

    def meta(self, caller: Caller) -> Meta:
        """The descriptor for one caller.

        Raises:
            Unauthenticated: what proved the caller no longer does.
        """
        self._policy.require(caller)
        matcher = self._redactor.matcher
        known = self._built.get(caller)
        if known is None or known[0] is not matcher or not self._current(known[1]):
            if len(self._built) >= self.LIMIT or sum(len(meta.body) for _, meta in self._built.values()) > self.MOST:
                self._built.clear()
            known = self._built[caller] = (matcher, self._build(caller))
        return known[1]

    def _current(self, known: Meta) -> bool:
        return known.generation == self.generation and known.blamed in (None, self._blame.generation)

    def _build(self, caller: Caller) -> Meta:
        registry, sees, clean = self._registry, self._policy.decide, self._redactor.encoded
        commands = [e for e in registry.all_commands() if sees(e.target, caller).visible]
        queries = [e for e in registry.all_queries() if sees(e.target, caller).visible]
        streams = [e for e in registry.all_streams() if sees(e.target, caller).visible]
        names = frozenset([n for e in commands for n in e.names] + [n for e in queries for n in e.names])
        sections = [_section(s) for s in registry.sections() if self._has(s.requires, names, caller)]
        consoles = {str(c["path"]): canonical(_seen(c, names)) for c in _consoles(registry, commands, queries)}
        whole, records = self._policy.is_admin(caller), self._plugins() if PLUGINS in names else ()
        plugins = [plugin_shown(record, whole=whole) for record in records]
        revision = _revision(
            [(f"command {e.id}", e.revision) for e in commands],
            [(f"query {e.id}", e.revision) for e in queries],
            [(f"stream {e.source.pattern}", e.revision) for e in streams],
            [(f"console {path}", hashlib.sha256(shown).hexdigest()) for path, shown in consoles.items()],
            [(f"section {s['point']}/{s['id']}", digest(s)) for s in sections],
            [(f"plugin {p['id']}", digest(p)) for p in plugins],
        )
        parts: dict[str, bytes] = {
            "meta": canonical(META_VERSION),
            "host": clean(canonical(self._host)),
            "generation": canonical(self.generation),
            "revision": canonical(revision),
            "consoles": clean(_joined(consoles.values())),
            "commands": _joined(self._shown(e, names) for e in commands),
            "queries": _joined(self._shown(e, names) for e in queries),
            "streams": clean(_joined(canonical({**e.descriptor, "revision": e.revision}) for e in streams)),
            "plugins": clean(canonical([with_trouble(p, self._blame) for p in plugins] if whole else plugins)),
            "sections": clean(canonical(sections)),
        }
        body = b",".join(canonical(name) + b":" + parts[name] for name in sorted(parts))
        return Meta(revision, self.generation, b"{" + body + b"}", self._blame.generation if whole else None)

    def _shown(self, entry: CommandEntry | QueryEntry, names: frozenset[str]) -> bytes:
        """What a caller who may ask these queries is told of an entry, searched for secrets once while they stay.

        Only for who may not ask all the queries that complete its arguments it is made each time.
        """
        if not _whole(entry, names):
            narrowed = {**_narrowed(entry, names), "revision": entry.revision, "available": entry.available}
            return self._redactor.encoded(canonical(narrowed))
        described, matcher = _described(entry), self._redactor.matcher
        if entry.clean is None or entry.clean[0] is not matcher or entry.clean[1] is not described:
            entry.clean = (matcher, described, self._redactor.encoded(described))
        return entry.clean[2]

    def _sees_stream(self, name: str, caller: Caller) -> bool:
        """Whether a caller may know of a stream, or of a family by its pattern."""
        family = self._registry.stream(name)
        return family is not None and self._policy.decide(family.target_of(name), caller).visible

    def _has(self, required: Iterable[str], names: frozenset[str], caller: Caller) -> bool:
        """Whether a caller sees everything a section requires."""
        return all(name in names or self._sees_stream(name, caller) for name in required)


def _joined(parts: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(parts) + b"]"


def _described(entry: CommandEntry | QueryEntry) -> bytes:
    """Made once per entry and availability: a change of one plugin's set costs nothing for those of others."""
    known = entry.described.get(entry.available)
    if known is None:
        document: dict[str, Json] = {**entry.descriptor, "revision": entry.revision, "available": entry.available}
        known = entry.described[entry.available] = canonical(document)
    return known


def _whole(entry: CommandEntry | QueryEntry, names: frozenset[str]) -> bool:
    return names.issuperset(_completing(entry).values())


def _completing(entry: CommandEntry | QueryEntry) -> Mapping[str, str]:
    return entry.command.complete if isinstance(entry, CommandEntry) else entry.query.complete


def _narrowed(entry: CommandEntry | QueryEntry, names: frozenset[str]) -> dict[str, Json]:
    """The descriptor without queries that may not be seen, which the ids in meta's revision tell already.

    Its own revision stays what clients send along.
    """
    complete: dict[str, Json] = {arg: query for arg, query in _completing(entry).items() if query in names}
    return {**entry.descriptor, "complete": complete}


def _seen(console: Mapping[str, Json], names: frozenset[str]) -> dict[str, Json]:
    """A console without the commands and queries behind it that may not be seen."""
    return {key: "" if key in NAMING and value not in names else value for key, value in console.items()}


def plugin_shown(record: PluginRecord, *, whole: bool) -> dict[str, Json]:
    """What became of a plugin. Reasons and places are for admins: they speak of files and distributions."""
    fields = decode(encode(record))
    shown = dict(fields) if isinstance(fields, dict) else {}
    return shown if whole else {key: shown[key] for key in ("id", "state", "version") if key in shown}


def with_trouble(shown: dict[str, Json], blame: Blame) -> dict[str, Json]:
    """A plugin as admins see it, with what it is to blame for since the start, if there is anything."""
    trouble = blame.shown(str(shown.get("id")))
    return shown if trouble is None else {**shown, "trouble": trouble}


def _section(section: MetaSection) -> dict[str, Json]:
    return {"point": section.point, "id": section.id, "data": section.data, "requires": list(section.requires)}


def _consoles(
    registry: Registry, commands: Iterable[CommandEntry], queries: Iterable[QueryEntry]
) -> list[dict[str, Json]]:
    """The tree, the root first; a console that nothing visible lives in, or takes lines for, is left out."""
    inhabited, callable_ids = {""}, {name for entry in commands for name in entry.names}
    within_one = [console_of(name) for name in [e.id for e in commands] + [e.id for e in queries]]
    for path in within_one + [c.path for c in registry.consoles() if _taken_by(c) in callable_ids]:
        inhabited.update(upwards(path))
    every = [registry.root(), *(c for c in registry.consoles() if c.path in inhabited)]
    above, within = defaultdict[str, list[Console]](list), defaultdict[str, list[str]](list)
    for console in every[1:]:
        above[console_of(console.path)].append(console)
    for command_id in sorted(entry.id for entry in commands):
        within[console_of(command_id)].append(command_id)
    return [_console(console, above[console.path], within[console.path]) for console in every]


def _taken_by(console: Console) -> str:
    """The command that takes the lines of a console which are no commands; ``""`` where none does."""
    if console.accept_undefined == "system":
        return SYSTEM_SHELL
    return console.on_miss if console.accept_undefined else ""


def _console(console: Console, children: Sequence[Console], command_ids: Sequence[str]) -> dict[str, Json]:
    fields = decode(encode(console))
    described: dict[str, Json] = dict(fields) if isinstance(fields, dict) else {}
    described["children"] = [c.path for c in sorted(children, key=lambda c: (c.order, c.path))]
    described["commands"] = list(command_ids)
    return described


def _revision(*parts: Iterable[tuple[str, str]]) -> str:
    # Of plain strings in lists the fast encoder makes the canonical form too.
    return hashlib.sha256(encode(sorted(pair for part in parts for pair in part))).hexdigest()

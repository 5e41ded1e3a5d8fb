"""Meta, version 1: everything a caller may see, as one JSON document with a revision."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from trunnion.access.policy import Policy
from trunnion.kernel.entries import CommandEntry, QueryEntry, StreamEntry, canonical, digest
from trunnion.kernel.registry import Registry
from trunnion.model.contributions import Console, MetaSection, PluginRecord
from trunnion.model.json import Json, decode, encode
from trunnion.model.names import console_of
from trunnion.model.runs import Caller

META_VERSION = 1


class Meta(msgspec.Struct, frozen=True):
    """The descriptor as one caller sees it.

    Attributes:
        revision: sha256 over the sorted (id, digest) pairs of what is in it; the same for the same content.
        generation: counts changes of the registry since the host started.
        body: the document as JSON.
    """

    revision: str
    generation: int
    body: bytes


class MetaBuilder:
    """Builds meta, once per caller and generation.

    Args:
        host: facts about the host that stand in every document.
        plugins: tells what became of each plugin.
    """

    LIMIT = 256

    def __init__(
        self,
        registry: Registry,
        policy: Policy,
        host: dict[str, Json],
        plugins: Callable[[], Sequence[PluginRecord]],
    ) -> None:
        self._registry = registry
        self._policy = policy
        self._host = host
        self._plugins = plugins
        self._built: dict[Caller, Meta] = {}
        policy.listeners.append(self._built.clear)

    def meta(self, caller: Caller) -> Meta:
        """The descriptor for one caller."""
        known = self._built.get(caller)
        if known is None or known.generation != self._registry.generation:
            if len(self._built) >= self.LIMIT:
                self._built.clear()
            known = self._built[caller] = self._build(caller)
        return known

    def _build(self, caller: Caller) -> Meta:
        registry, sees = self._registry, self._policy.decide
        commands = [e for e in registry.all_commands() if sees(e.target, caller).visible]
        queries = [e for e in registry.all_queries() if sees(e.target, caller).visible]
        streams = [e for e in registry.all_streams() if sees(e.target, caller).visible]
        visible = {e.id for e in commands} | {e.id for e in queries} | {e.source.pattern for e in streams}
        sections = [_section(s) for s in registry.sections() if visible.issuperset(s.requires)]
        consoles = {str(c["path"]): canonical(c) for c in _consoles(registry, commands, queries)}
        revision = _revision(commands, queries, streams, consoles, sections)
        parts: dict[str, bytes] = {
            "meta": canonical(META_VERSION),
            "host": canonical(self._host),
            "generation": canonical(registry.generation),
            "revision": canonical(revision),
            "consoles": _joined(consoles.values()),
            "commands": _joined(_described(e) for e in commands),
            "queries": _joined(_described(e) for e in queries),
            "streams": _joined(canonical({**e.descriptor, "revision": e.revision}) for e in streams),
            "plugins": canonical([decode(encode(record)) for record in self._plugins()]),
            "sections": canonical(sections),
        }
        body = b",".join(canonical(name) + b":" + parts[name] for name in sorted(parts))
        return Meta(revision, registry.generation, b"{" + body + b"}")


def _joined(parts: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(parts) + b"]"


def _described(entry: CommandEntry | QueryEntry) -> bytes:
    """Made once per entry and availability: a change of one plugin's set costs nothing for those of others."""
    known = entry.described.get(entry.available)
    if known is None:
        document: dict[str, Json] = {**entry.descriptor, "revision": entry.revision, "available": entry.available}
        known = entry.described[entry.available] = canonical(document)
    return known


def _section(section: MetaSection) -> dict[str, Json]:
    return {"point": section.point, "id": section.id, "data": section.data, "requires": list(section.requires)}


def _consoles(
    registry: Registry, commands: Iterable[CommandEntry], queries: Iterable[QueryEntry]
) -> list[dict[str, Json]]:
    """The tree, the root first; a console nothing visible lives in is left out."""
    inhabited = {""}
    for name in [e.id for e in commands] + [e.id for e in queries]:
        path = console_of(name)
        while path:
            inhabited.add(path)
            path = console_of(path)
    every = [registry.root(), *(c for c in registry.consoles() if c.path in inhabited)]
    above, within = defaultdict[str, list[Console]](list), defaultdict[str, list[str]](list)
    for console in every[1:]:
        above[console_of(console.path)].append(console)
    for command_id in sorted(entry.id for entry in commands):
        within[console_of(command_id)].append(command_id)
    return [_console(console, above[console.path], within[console.path]) for console in every]


def _console(console: Console, children: Sequence[Console], command_ids: Sequence[str]) -> dict[str, Json]:
    fields = decode(encode(console))
    described: dict[str, Json] = dict(fields) if isinstance(fields, dict) else {}
    described["children"] = [c.path for c in sorted(children, key=lambda c: (c.order, c.path))]
    described["commands"] = list(command_ids)
    return described


def _revision(
    commands: Sequence[CommandEntry],
    queries: Sequence[QueryEntry],
    streams: Sequence[StreamEntry],
    consoles: Mapping[str, bytes],
    sections: Sequence[dict[str, Json]],
) -> str:
    pairs: list[tuple[str, str]] = [(f"command {e.id}", e.revision) for e in commands]
    pairs += [(f"query {e.id}", e.revision) for e in queries]
    pairs += [(f"stream {e.source.pattern}", e.revision) for e in streams]
    pairs += [(f"console {path}", hashlib.sha256(shown).hexdigest()) for path, shown in consoles.items()]
    pairs += [(f"section {s['point']}/{s['id']}", digest(s)) for s in sections]
    # Of plain strings in lists the fast encoder makes the canonical form too.
    return hashlib.sha256(encode(sorted(pairs))).hexdigest()

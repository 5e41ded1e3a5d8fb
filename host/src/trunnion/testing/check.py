"""The contract between a plugin and the host, for anybody to run against a plugin of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from trunnion.config.selection import Selection
from trunnion.model.contributions import PluginRecord
from trunnion.model.json import JsonObject
from trunnion.plugins.contained import Patience, PluginFailure, contained
from trunnion.plugins.load import load_plugins
from trunnion.testing import imports, words
from trunnion.testing.living import Life, twice
from trunnion.testing.report import Finding, Report
from trunnion.testing.subject import Subject, find


def check_plugin(what: str, settings: Mapping[str, JsonObject] | None = None) -> list[Report]:
    """Check plugins against the contract: each is loaded alone, with nothing else installed being looked at.

    Its hooks are asked and a host is started with it, twice. Its doors are not opened.

    Args:
        what: an entry point's name, a distribution, a folder with a ``pyproject.toml``, or a plugin of one file.
        settings: the configuration it needs, by section; those of others are left alone.

    Returns:
        One report for each plugin.

    Raises:
        NotFound: there is no such thing.
        InvalidArguments: the folder is no distribution with a plugin.
    """
    return [_report(subject, settings or {}) for subject in find(what)]


def _report(subject: Subject, settings: Mapping[str, JsonObject]) -> Report:
    candidate = subject.candidate
    with subject.importable():
        findings = tuple(_findings(subject, settings))
    return Report(
        plugin=candidate.id,
        distribution=candidate.distribution,
        version=candidate.version,
        origin=candidate.origin,
        findings=findings,
    )


def _findings(subject: Subject, settings: Mapping[str, JsonObject]) -> Iterator[Finding]:
    """Everything there is to say, in order; a plugin that cannot be loaded is not asked further."""
    yield from imports.of_the_host(subject)
    try:
        plugin, record, loading = _load(subject)
    except PluginFailure as failure:
        yield Finding("loads", "error", str(failure))
        return
    yield from loading
    if record.state != "loaded":
        return
    yield from imports.at_load(subject)
    own = {name: section for name, section in settings.items() if name == subject.candidate.id}
    life, living = twice(subject.candidate.id, plugin, own)
    yield from living
    if life is not None:
        yield from _said(life)


def _load(subject: Subject) -> tuple[object, PluginRecord, list[Finding]]:
    """Import it, register it with nothing else, and ask for its settings.

    Raises:
        PluginFailure: it cannot be imported.
    """
    candidate = subject.candidate
    if candidate.incompatible:
        record = msgspec.structs.replace(candidate.record(), state="incompatible")
        return None, record, [Finding("loads", "error", candidate.incompatible)]
    plugin = contained(candidate.load, f"plugin {candidate.id!r} at import", Patience())
    loaded = load_plugins(Selection(), builtins={}, given={candidate.id: plugin}, discovery=False)
    declared = loaded.settings().get(candidate.id, ())
    (record,) = loaded.records
    if record.state != "loaded":
        return plugin, record, [Finding("loads", "error", record.reason)]
    hooks = ", ".join(hook.removeprefix("trunnion_") for hook in record.hooks) or "none"
    return plugin, record, [Finding("loads", "ok", f"hooks: {hooks}"), *words.of_settings(declared)]


def _said(life: Life) -> Iterator[Finding]:
    """Of what it says about itself."""
    yield from words.of_descriptors("command", life.commands)
    yield from words.of_descriptors("query", life.queries)
    yield from words.of_streams(life.streams)
    yield from words.of_access(life.commands)

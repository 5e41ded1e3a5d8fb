"""The parts of the host that go by settings which change while it runs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from trunnion.access.doors import COMMON, doubtful
from trunnion.assembly import refuse_unknown_frontends
from trunnion.blaming import watch_loop
from trunnion.kernel.capturing import follow_levels
from trunnion.kernel.core import Kernel
from trunnion.kernel.documents import DocumentLimits
from trunnion.kernel.file_limits import FileLimits
from trunnion.kernel.limits import Limits
from trunnion.kernel.settings import Settings, Swap
from trunnion.model.json import JsonObject
from trunnion.plugins.hooks import Contributed
from trunnion.plugins.plugin_set import PluginSet


def consume_settings(
    kernel: Kernel, settings: Settings, plugins: PluginSet, contributions: Sequence[Contributed]
) -> None:
    """Have executor, documents, files, access, redaction, log and watchdog go by their sections from now on.

    Args:
        kernel: has them all.
        settings: the configuration in force.
        plugins: those that are loaded.
        contributions: of all plugins, with the frontends that may be opened.
    """

    def executor(section: JsonObject) -> Swap:
        limits = msgspec.convert(section, Limits)
        return lambda: kernel.take_limits(limits)

    def documents(section: JsonObject) -> Swap:
        limits = msgspec.convert(section, DocumentLimits)

        def swap() -> None:
            kernel.documents.limits = limits

        return swap

    def files(section: JsonObject) -> Swap:
        limits = msgspec.convert(section, FileLimits)
        return lambda: kernel.files.limits.take(limits)

    def access(section: JsonObject) -> Swap:
        return lambda: kernel.identities.configure(section)

    def redaction(section: JsonObject) -> Swap:
        return lambda: kernel.redaction.configure(section)

    def log(section: JsonObject) -> Swap:
        def swap() -> None:
            kernel.host_log.set_level(str(section["level"]))
            follow_levels()

        return swap

    doors = {frontend.name for contributed in contributions for frontend in contributed.frontends}
    settings.checks.append(lambda config: refuse_unknown_frontends(config, doors))
    sources = _sources(contributions)
    local = {command.id for c in contributions for command in c.commands if command.local}
    settings.doubts.append(lambda config: doubtful(config.section("access"), sources, local))
    settings.consume("executor", executor)
    settings.consume("state", documents)
    settings.consume("bytes", files)
    settings.consume("access", access)
    settings.consume("redaction", redaction)
    settings.consume("log", log)
    watch_loop(kernel, settings, plugins, contributions)


def _sources(contributions: Sequence[Contributed]) -> frozenset[str]:
    """The remote doors that plugins have or reckon with."""
    own = (frontend.source for c in contributions for frontend in c.frontends)
    commands = (command.expose for c in contributions for command in c.commands)
    queries = (query.expose for c in contributions for query in c.queries)
    return COMMON.union(own, *commands, *queries)

"""The hooks of ``trunnion-audit``. What they need is imported when they are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from trunnion import (
    Admission,
    Command,
    Daemon,
    Event,
    Gate,
    Json,
    LazyCommand,
    Observer,
    Provider,
    Ready,
    Setting,
    Verdict,
    hookimpl,
)

if TYPE_CHECKING:
    import click

    from trunnion import HostHandle
    from trunnion_audit.audit import Audit


async def _open(host: HostHandle) -> Audit:
    from trunnion_audit.opening import open_audit

    return await open_audit(host)


async def _close(audit: object) -> None:
    from trunnion_audit.audit import Audit

    if isinstance(audit, Audit):
        await audit.close()


async def _admit(audit: Audit, batch: Sequence[Admission]) -> Sequence[Verdict]:
    return await audit.admit(batch)


async def _on_events(audit: Audit, events: Sequence[Event]) -> None:
    await audit.on_events(events)


async def _keep_up(host: HostHandle, ready: Ready) -> None:
    from trunnion_audit.upkeep import keep_up

    await keep_up(host, ready)


def _command() -> click.Command:
    from trunnion_audit.command import audit

    return audit


@hookimpl
def trunnion_cli() -> Iterable[LazyCommand]:
    """``trunnion audit``."""
    yield LazyCommand(
        name="audit", help="The record of who did what: read it, check it, show it to others.", load=_command
    )


@hookimpl
def trunnion_settings() -> Iterable[Setting]:
    """What is recorded, how surely, and where."""
    from trunnion_audit.settings import CHECKS, LIVE, SCHEMAS

    return [
        Setting(key=key, schema=schema, reload="live" if key in LIVE else "restart", check=CHECKS.get(key))
        for key, schema in SCHEMAS.items()
    ]


@hookimpl
def trunnion_provides(settings: Mapping[str, Json]) -> Iterable[Provider]:
    """The audit itself; one that is switched off says so in the log it had."""
    from trunnion_audit.audit import Audit

    yield Provider(type=Audit, open=_open, close=_close)


@hookimpl
def trunnion_gates(settings: Mapping[str, Json]) -> Iterable[Gate]:
    """Asked last of all, about everything; where the audit is switched off there is no gate that records."""
    from trunnion_audit.audit import Audit

    if settings.get("enabled") is not False:
        covers = frozenset({"commands", "queries", "streams"})
        yield Gate(name="audit", admit=_admit, covers=covers, records=True, of=Audit)


@hookimpl
def trunnion_observers(settings: Mapping[str, Json]) -> Iterable[Observer]:
    """Sees how runs end, and their output."""
    from trunnion_audit.audit import Audit

    if settings.get("enabled") is not False:
        yield Observer(name="audit", on_events=_on_events, of=Audit)


@hookimpl
def trunnion_commands(settings: Mapping[str, Json]) -> Iterable[Command]:
    """The way back in, another key, what is not to be kept, and a copy of what is on record."""
    from trunnion_audit.commands import commands
    from trunnion_audit.consulting import commands as reading

    return [*commands(), *reading()] if settings.get("enabled") is not False else ()


@hookimpl
def trunnion_daemons(settings: Mapping[str, Json]) -> Iterable[Daemon]:
    """Looks after old segments and the witness."""
    if settings.get("enabled") is not False:
        yield Daemon(name="audit", run=_keep_up)

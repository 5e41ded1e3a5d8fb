"""From configuration and contributions to what a host is made of."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from trunnion._version import VERSION
from trunnion.access.redaction import Redaction
from trunnion.access.sealing import Sealer
from trunnion.config.data_dir import DataDir
from trunnion.config.paths import default_data_dir
from trunnion.config.toml_file import read_toml
from trunnion.config.values import Config, did_you_mean
from trunnion.embedding import APP
from trunnion.kernel.clock import Clock
from trunnion.kernel.core import Identity, Kernel
from trunnion.kernel.documents import DocumentLimits
from trunnion.kernel.file_limits import FileLimits
from trunnion.kernel.ids import new_id
from trunnion.kernel.limits import Limits
from trunnion.kernel.parts import Part
from trunnion.kernel.registry import Contributed
from trunnion.kernel.reporting import HostLog
from trunnion.model.contributions import Daemon, Frontend, Gate, PluginRecord
from trunnion.model.errors import BrokenPlugin, Conflict, InvalidArguments, InvalidConfig
from trunnion.model.json import Json
from trunnion.plugins.hooks import Contributed as PluginContribution
from trunnion.plugins.plugin_set import PluginSet
from trunnion.store import Store, open_store
from trunnion.store.files import replace_whole

HOST_PLUGIN = "host"


def make_kernel(
    config: Config,
    data: DataDir,
    *,
    store: Store,
    clock: Clock,
    host_log: HostLog,
    redaction: Redaction,
    records: Callable[[], Sequence[PluginRecord]],
    readonly: bool,
) -> Kernel:
    """The kernel of a host on a data directory, with the limits of a configuration."""
    return Kernel(
        store=store,
        clock=clock,
        limits=msgspec.convert(config.section("executor"), Limits),
        sealer=Sealer(data.root / "secret.key"),
        identity=Identity(host_id(data, keep=not readonly), new_id(), VERSION),
        host_log=host_log,
        redaction=redaction,
        records=records,
        readonly=readonly,
        documents=msgspec.convert(config.section("state"), DocumentLimits),
        files=msgspec.convert(config.section("bytes"), FileLimits),
        uploads=data.root / "uploads",
        backups=None if config.get("store.durability") == "memory" else data.root / "db",
    )


def declared_parts(
    config: Config, contributions: Sequence[PluginContribution], *, cold: bool, only: frozenset[str] | None = None
) -> list[Part]:
    """The frontends and daemons to start.

    Args:
        config: ``[frontends]`` opens and closes doors.
        contributions: of all plugins.
        cold: only the host's own frontends, no daemon.
        only: the frontends to open, whatever the configuration says; None leaves it to the configuration.

    Raises:
        InvalidConfig: a frontend is asked for by name that there is not.
    """
    frontends = [(c.plugin_id, f) for c in contributions for f in c.frontends]
    known = {frontend.name for _, frontend in frontends}
    for name in sorted((only or frozenset()) - known):
        raise InvalidConfig(f"no loaded plugin has a frontend {name!r}{_nearest(name, known)}")
    refuse_unknown_frontends(config, known)
    wanted = [(owner, f) for owner, f in frontends if (_enabled(config, f) if only is None else f.name in only)]
    parts = [_frontend(owner, f) for owner, f in wanted if owner == HOST_PLUGIN or not cold]
    if not cold:
        parts += [_daemon(c.plugin_id, d) for c in contributions for d in c.daemons]
    return parts


def _enabled(config: Config, frontend: Frontend) -> bool:
    switch = config.section("frontends").get(frontend.name)
    if isinstance(switch, Mapping):
        switch = switch.get("enabled")
    return frontend.enabled if switch is None else bool(switch)


def refuse_unknown_frontends(config: Config, known: Collection[str]) -> None:
    """Refuse to open a door that there is not.

    Raises:
        InvalidConfig: ``[frontends]`` opens one.
    """
    problems = []
    for name, switch in config.section("frontends").items():
        if name not in known and switch not in (None, False):
            where, key = _place(config, name), f"frontends.{name}"
            message = f"no loaded plugin has a frontend of this name{_nearest(name, known)}"
            text = f"{where}: {key}: {message}"
            problems.append({"where": where, "key": key, "message": message, "text": text})
    if problems:
        raise InvalidConfig("\n".join(p["text"] for p in problems), {"problems": list[Json](problems)})


def _place(config: Config, frontend: str) -> str:
    """Where the file or another source speaks of a frontend."""
    if config.path is None or config.source_of(f"frontends.{frontend}") != "file":
        return "the configuration"
    line = read_toml(config.path).line_of(("frontends", frontend))
    return f"{config.path}:{line}" if line else str(config.path)


def _nearest(name: str, known: Collection[str]) -> str:
    return did_you_mean(name, sorted(known)) or f"; there are {', '.join(sorted(known))}"


def _frontend(owner: str, frontend: Frontend) -> Part:
    return Part(
        owner=owner,
        name=frontend.name,
        kind="frontend",
        run=frontend.run,
        after=frontend.after,
        on_crash=frontend.on_crash,
        start_timeout=frontend.start_timeout,
        source=frontend.source,
    )


def _daemon(owner: str, daemon: Daemon) -> Part:
    return Part(
        owner=owner,
        name=daemon.name,
        kind="daemon",
        run=daemon.run,
        after=daemon.after,
        on_crash=daemon.on_crash,
        start_timeout=daemon.start_timeout,
        source=f"system:{owner}",
    )


def data_root(config: Config, asked: Path | None, environ: Mapping[str, str]) -> Path:
    """The data directory: as asked for, as configured, or the user's or system's place."""
    configured = config.get("host.data_dir")
    if asked is not None:
        return asked.absolute()
    if isinstance(configured, str) and configured:
        base = config.path.parent if config.path is not None else Path.cwd()
        return (base / Path(configured).expanduser()).absolute()
    return default_data_dir(environ)


def store_for(config: Config, data: DataDir, mode: Literal["serve", "cold", "readonly"], clock: Clock) -> Store:
    """The opened store; for ``readonly`` one that refuses to change anything."""
    if mode == "readonly":
        from trunnion.store.refusing import RefusingStore

        store = RefusingStore(data.database, artifacts=data.artifacts, clock=clock.utc)
        store.open()
        return store
    durability = msgspec.convert(config.get("store.durability"), Literal["memory", "process", "power"])
    return open_store(durability, data.root, clock.utc)


def host_id(data: DataDir, *, keep: bool) -> str:
    """The id of this data directory's host, made at its first start.

    Args:
        data: the data directory.
        keep: whether a new one is written down.
    """
    path = data.root / "host_id"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="ascii").strip()
    made = new_id()
    if keep:
        replace_whole(path, f"{made}\n".encode())
    return made


def register(kernel: Kernel, plugins: PluginSet, contribution: PluginContribution) -> bool:
    """Add one plugin's set and providers; a plugin that clashes or cannot be used is withdrawn whole.

    Raises:
        Conflict: something the embedding program gave clashes.
        InvalidArguments: something it gave cannot be used.
    """
    owner = contribution.plugin_id
    try:
        kernel.providers.check(owner, contribution.providers)
        kernel.registry.replace(owner, registered(contribution))
    except (Conflict, InvalidArguments) as error:
        if owner == APP:
            raise
        plugins.withdraw(owner, error.message)
        return False
    kernel.providers.add(owner, contribution.providers)
    return True


def gates_of(contributions: Sequence[PluginContribution], *, readonly: bool) -> list[tuple[str, Gate]]:
    """The gates to ask, with their plugins. A host that only reads has nowhere to record anything."""
    gates = [(c.plugin_id, gate) for c in contributions for gate in c.gates]
    return [(owner, gate) for owner, gate in gates if not (readonly and gate.records)]


def refuse_failed_providers(kernel: Kernel, plugins: PluginSet) -> None:
    """End the start where a provider of a plugin that was asked for could not be opened.

    Raises:
        BrokenPlugin: it could not.
    """
    for found in kernel.providers.failed():
        if plugins.is_required(found.owner):
            raise BrokenPlugin(
                f"plugin {found.owner!r} cannot provide {found.name}: {found.reason}", {"plugin": found.owner}
            )


async def open_access(kernel: Kernel, config: Config, data: DataDir) -> None:
    """Take up principals, tokens and grants, before any door opens."""
    kernel.authentication.owner = data.root.stat().st_uid
    kernel.authentication.run = data.run
    await kernel.identities.open(kernel.documents.state(HOST_PLUGIN), config.section("access"), config.path)


def registered(contribution: PluginContribution) -> Contributed:
    """The part of a plugin's contribution that the registry holds."""
    return Contributed(
        commands=contribution.commands,
        queries=contribution.queries,
        streams=contribution.streams,
        consoles=contribution.consoles,
        sections=contribution.sections,
    )

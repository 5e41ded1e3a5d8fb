"""From what plugins contribute to what this host starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trunnion.config.values import Config
from trunnion.kernel.parts import Part
from trunnion.model.contributions import Daemon, Frontend
from trunnion.model.errors import InvalidConfig
from trunnion.plugins.hooks import Contributed

HOST_PLUGIN = "host"


def declared_parts(config: Config, contributions: Sequence[Contributed], *, cold: bool) -> list[Part]:
    """The frontends and daemons to start.

    Args:
        config: ``[frontends]`` opens and closes doors.
        contributions: of all plugins.
        cold: only the host's own frontends, no daemon.

    Raises:
        InvalidConfig: a frontend is asked for by name that there is not.
    """
    frontends = [(c.plugin_id, f) for c in contributions for f in c.frontends]
    _refuse_unknown(config, {frontend.name for _, frontend in frontends})
    parts = [
        _frontend(owner, f) for owner, f in frontends if _enabled(config, f) and (owner == HOST_PLUGIN or not cold)
    ]
    if not cold:
        parts += [_daemon(c.plugin_id, d) for c in contributions for d in c.daemons]
    return parts


def _enabled(config: Config, frontend: Frontend) -> bool:
    switch = config.section("frontends").get(frontend.name)
    if isinstance(switch, Mapping):
        switch = switch.get("enabled")
    return frontend.enabled if switch is None else bool(switch)


def _refuse_unknown(config: Config, known: set[str]) -> None:
    for name, switch in config.section("frontends").items():
        if name not in known and switch not in (None, False):
            raise InvalidConfig(
                f"{config.path or 'the configuration'}: frontends.{name}: no loaded plugin has a frontend of this "
                f"name; there are {', '.join(sorted(known))}"
            )


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
        foreground=frontend.foreground,
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

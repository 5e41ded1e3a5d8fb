"""The hooks of ``trunnion-rpc``. What they need is imported when they are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from trunnion import Frontend, Json, LazyCommand, Setting, hookimpl

if TYPE_CHECKING:
    import click

    from trunnion import HostHandle, Ready


async def _serve(host: HostHandle, ready: Ready) -> None:
    from trunnion_rpc.frontend import serve

    await serve(host, ready)


def _command() -> click.Command:
    from trunnion_rpc.command import rpc

    return rpc


@hookimpl
def trunnion_cli() -> Iterable[LazyCommand]:
    """``trunnion rpc``."""
    yield LazyCommand(name="rpc", help="Certificates for trying gRPC out; its protocol.", load=_command)


@hookimpl
def trunnion_settings() -> Iterable[Setting]:
    """Whether, where and for whom the door is open."""
    from trunnion_rpc.settings import CHECKS, LIVE, SCHEMAS, check_section

    return [
        Setting(
            key=key,
            schema=schema,
            reload="live" if key in LIVE else "restart",
            check=CHECKS.get(key),
            check_section=check_section if key == "listen" else None,
        )
        for key, schema in SCHEMAS.items()
    ]


@hookimpl
def trunnion_frontends(settings: Mapping[str, Json]) -> Iterable[Frontend]:
    """The door, shut unless ``[rpc] enabled`` or ``[frontends] rpc`` opens it."""
    yield Frontend(name="rpc", run=_serve, source="rpc", enabled=settings.get("enabled") is True, on_crash="restart")

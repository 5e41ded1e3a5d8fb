"""Every extension point of Trunnion: the one file a plugin author reads.

A plugin is an entry point in the group ``trunnion.plugins.v1`` that names a module (or object) with
functions of these names, each marked with ``trunnion.hookimpl``. All hooks here but ``trunnion_authorize``
are registration hooks: plain functions, called once per load in a helper thread of the host, one plugin at
a time. They return frozen descriptors and do nothing else; what a descriptor names runs later. A hook that
raises, returns something else or does not return in time makes that one plugin ``broken`` and none of what
it contributed is kept; the host goes on. A hook may leave out parameters it does not need.

``settings`` is the plugin's own section of the configuration, already validated and complete with
defaults, as a mapping.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from trunnion.model.commands import Command, Query
    from trunnion.model.contributions import (
        AuthorizeRequest,
        Console,
        Daemon,
        Deny,
        Frontend,
        Gate,
        LazyCommand,
        MetaSection,
        Observer,
        Provider,
        Setting,
        StreamSource,
    )
    from trunnion.model.json import Json

GENERATION = 1
ENTRY_POINT_GROUP = f"trunnion.plugins.v{GENERATION}"

hookspec = pluggy.HookspecMarker("trunnion")
hookimpl = pluggy.HookimplMarker("trunnion")


@hookspec
def trunnion_settings() -> Iterable[Setting]:  # type: ignore[empty-body]
    """Declare the keys of the plugin's section of the configuration.

    Called before any value is read, so it takes nothing. A key in the file that nobody declared is an
    error that names the nearest one.
    """


@hookspec
def trunnion_commands(settings: Mapping[str, Json]) -> Iterable[Command]:  # type: ignore[empty-body]
    """Contribute commands. If an id or alias is taken, the later plugin is withdrawn whole, both are named."""


@hookspec
def trunnion_queries(settings: Mapping[str, Json]) -> Iterable[Query]:  # type: ignore[empty-body]
    """Contribute queries; names clash as those of commands do."""


@hookspec
def trunnion_streams(settings: Mapping[str, Json]) -> Iterable[StreamSource]:  # type: ignore[empty-body]
    """Contribute families of streams."""


@hookspec
def trunnion_consoles(settings: Mapping[str, Json]) -> Iterable[Console]:  # type: ignore[empty-body]
    """Describe consoles. A console exists because a command's name begins with it; this only adds looks."""


@hookspec
def trunnion_frontends(settings: Mapping[str, Json]) -> Iterable[Frontend]:  # type: ignore[empty-body]
    """Contribute doors. Each runs in a task of its own on the host's loop, once the commands are there."""


@hookspec
def trunnion_daemons(settings: Mapping[str, Json]) -> Iterable[Daemon]:  # type: ignore[empty-body]
    """Contribute other long-running parts. They start before the frontends and stop after them."""


@hookspec
def trunnion_provides(settings: Mapping[str, Json]) -> Iterable[Provider]:  # type: ignore[empty-body]
    """Contribute objects that handlers ask for by type. They open before daemons and frontends start, and
    close when everything else has stopped.
    """


@hookspec
def trunnion_gates(settings: Mapping[str, Json]) -> Iterable[Gate]:  # type: ignore[empty-body]
    """Contribute gates. Each is asked about every admission it covers; any one can refuse, none can widen."""


@hookspec
def trunnion_observers(settings: Mapping[str, Json]) -> Iterable[Observer]:  # type: ignore[empty-body]
    """Contribute observers: durable followers of all that is committed."""


@hookspec
def trunnion_meta(settings: Mapping[str, Json]) -> Iterable[MetaSection]:  # type: ignore[empty-body]
    """Contribute open descriptors that frontends find in meta."""


@hookspec
def trunnion_authorize(request: AuthorizeRequest) -> Deny | None:
    """Say no to something that the host's own rules allow; None has no objection.

    The one hook that is not for registration: it is called on the host's loop for each command, query and
    stream before anything happens, so it must answer at once and do no I/O (a ``Gate`` may take its time).
    Every plugin is asked. A denial or an exception of any refuses, none can allow what others refuse, and
    no answer is remembered.
    """


@hookspec
def trunnion_cli() -> Iterable[LazyCommand]:  # type: ignore[empty-body]
    """Contribute subcommands of the launcher. Called only when the launcher meets a name it does not know, and for
    ``shell`` by ``trunnion up`` on a terminal. Of two plugins with a subcommand of one name, the first in order of
    their names has it.
    """

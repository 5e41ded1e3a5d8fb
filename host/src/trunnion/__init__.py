"""Trunnion: declare an operation once, run it from every door.

Public names for plugin authors. Each is imported when it is first used, so importing ``trunnion`` costs
next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trunnion._version import VERSION as __version__
    from trunnion.arguments import Secret
    from trunnion.blocking_host import BlockingHost
    from trunnion.hookspecs import hookimpl
    from trunnion.host import Host, HostOptions
    from trunnion.kernel.context import Context
    from trunnion.kernel.door import Door
    from trunnion.kernel.handle import HostHandle
    from trunnion.kernel.plugin_registry import PluginRegistry
    from trunnion.kernel.plugin_secrets import Secrets
    from trunnion.kernel.registry import Contributed
    from trunnion.kernel.run_handle import RunHandle
    from trunnion.kernel.speaking import echo, log, table
    from trunnion.kernel.state import State, Transaction
    from trunnion.kernel.state_migration import MigrationView, StateMigration
    from trunnion.model.access import BearerToken, ClientCertificate, Credential, LocalUser, Password, PrivateSocket
    from trunnion.model.commands import Category, Command, Lock, Query, Retry, command, commands_of
    from trunnion.model.contributions import (
        Admission,
        Allow,
        AuthorizeRequest,
        Console,
        Daemon,
        Deny,
        Frontend,
        Gate,
        Hold,
        LazyCommand,
        MetaSection,
        Observer,
        PluginRecord,
        Provider,
        Ready,
        Setting,
        StreamSource,
        Verdict,
    )
    from trunnion.model.errors import (
        Busy,
        Cancelled,
        CommandFailed,
        Conflict,
        DeadlineExceeded,
        ErrorInfo,
        Forbidden,
        InternalError,
        Interrupted,
        InvalidArguments,
        InvalidConfig,
        NotFound,
        StaleMeta,
        TrunnionError,
        Unauthenticated,
        Unavailable,
    )
    from trunnion.model.events import Event
    from trunnion.model.json import Json, JsonObject
    from trunnion.model.runs import ArtifactInfo, Caller, Invocation, Run, RunChanges, RunFilter
    from trunnion.model.state import Document, DocumentPage
    from trunnion.model.stats import Stats
    from trunnion.model.told import HostChange, Refused

_COMMANDS = "Category Command Lock Query Retry command commands_of"
_CONTRIBUTIONS = (
    "Admission Allow AuthorizeRequest Console Daemon Deny Frontend Gate Hold LazyCommand MetaSection Observer "
    "PluginRecord Provider Ready Setting StreamSource Verdict"
)
_ERRORS = (
    "Busy Cancelled CommandFailed Conflict DeadlineExceeded ErrorInfo Forbidden InternalError Interrupted "
    "InvalidArguments InvalidConfig NotFound StaleMeta TrunnionError Unauthenticated Unavailable"
)
_PLACES: dict[str, str] = {
    "Secret": "trunnion.arguments",
    "Secrets": "trunnion.kernel.plugin_secrets",
    "hookimpl": "trunnion.hookspecs",
    "Event": "trunnion.model.events",
    **dict.fromkeys(("Host", "HostOptions"), "trunnion.host"),
    "BlockingHost": "trunnion.blocking_host",
    "Context": "trunnion.kernel.context",
    "RunHandle": "trunnion.kernel.run_handle",
    **dict.fromkeys(("Document", "DocumentPage"), "trunnion.model.state"),
    "Door": "trunnion.kernel.door",
    "HostHandle": "trunnion.kernel.handle",
    "PluginRegistry": "trunnion.kernel.plugin_registry",
    "Contributed": "trunnion.kernel.registry",
    "Stats": "trunnion.model.stats",
    **dict.fromkeys(("HostChange", "Refused"), "trunnion.model.told"),
    **dict.fromkeys(("echo", "log", "table"), "trunnion.kernel.speaking"),
    **dict.fromkeys(("State", "Transaction"), "trunnion.kernel.state"),
    **dict.fromkeys(("MigrationView", "StateMigration"), "trunnion.kernel.state_migration"),
    **dict.fromkeys(
        ("BearerToken", "ClientCertificate", "Credential", "LocalUser", "Password", "PrivateSocket"),
        "trunnion.model.access",
    ),
    **dict.fromkeys(_COMMANDS.split(), "trunnion.model.commands"),
    **dict.fromkeys(_CONTRIBUTIONS.split(), "trunnion.model.contributions"),
    **dict.fromkeys(_ERRORS.split(), "trunnion.model.errors"),
    **dict.fromkeys(("Json", "JsonObject"), "trunnion.model.json"),
    **dict.fromkeys(("ArtifactInfo", "Caller", "Invocation", "Run", "RunChanges", "RunFilter"), "trunnion.model.runs"),
}

__all__ = [
    "Admission",
    "Allow",
    "ArtifactInfo",
    "AuthorizeRequest",
    "BearerToken",
    "BlockingHost",
    "Busy",
    "Caller",
    "Cancelled",
    "Category",
    "ClientCertificate",
    "Command",
    "CommandFailed",
    "Conflict",
    "Console",
    "Context",
    "Contributed",
    "Credential",
    "Daemon",
    "DeadlineExceeded",
    "Deny",
    "Document",
    "DocumentPage",
    "Door",
    "ErrorInfo",
    "Event",
    "Forbidden",
    "Frontend",
    "Gate",
    "Hold",
    "Host",
    "HostChange",
    "HostHandle",
    "HostOptions",
    "InternalError",
    "Interrupted",
    "InvalidArguments",
    "InvalidConfig",
    "Invocation",
    "Json",
    "JsonObject",
    "LazyCommand",
    "LocalUser",
    "Lock",
    "MetaSection",
    "MigrationView",
    "NotFound",
    "Observer",
    "Password",
    "PluginRecord",
    "PluginRegistry",
    "PrivateSocket",
    "Provider",
    "Query",
    "Ready",
    "Refused",
    "Retry",
    "Run",
    "RunChanges",
    "RunFilter",
    "RunHandle",
    "Secret",
    "Secrets",
    "Setting",
    "StaleMeta",
    "State",
    "StateMigration",
    "Stats",
    "StreamSource",
    "Transaction",
    "TrunnionError",
    "Unauthenticated",
    "Unavailable",
    "Verdict",
    "__version__",
    "command",
    "commands_of",
    "echo",
    "hookimpl",
    "log",
    "table",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("trunnion._version").VERSION
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'trunnion' has no attribute {name!r}")
    return getattr(import_module(place), name)


def __dir__() -> list[str]:
    return __all__

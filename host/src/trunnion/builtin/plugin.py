"""The built-in plugin ``host``: what it contributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trunnion.builtin.access_commands import AccessCommands
from trunnion.builtin.access_queries import AccessQueries
from trunnion.builtin.backup_command import BackupCommand
from trunnion.builtin.census_query import CensusQuery
from trunnion.builtin.control import ConfigControl, HostControl
from trunnion.builtin.explain_query import ExplainQuery
from trunnion.builtin.file_commands import FileCommands
from trunnion.builtin.host_queries import HostQueries
from trunnion.builtin.import_command import ImportCommand
from trunnion.builtin.keeper import KEEPER
from trunnion.builtin.lane_commands import LaneCommands
from trunnion.builtin.run_commands import RunCommands
from trunnion.builtin.run_queries import RunQueries
from trunnion.builtin.secret_commands import SecretCommands
from trunnion.builtin.shell_command import ShellCommand
from trunnion.builtin.token_commands import TokenCommands
from trunnion.hookspecs import hookimpl
from trunnion.kernel.core import Kernel
from trunnion.kernel.documents import STATE_STREAM
from trunnion.kernel.identity import ACCESS_STREAM
from trunnion.kernel.reporting import LOG_STREAM
from trunnion.model.commands import Command, Query
from trunnion.model.contributions import Console, Frontend, MetaSection, Provider, StreamSource
from trunnion.model.errors import ERROR_TABLE
from trunnion.model.events import HOST_STREAM, RUN_STREAM
from trunnion.model.json import Json
from trunnion.protocol.server import SOCKET_FRONTEND

REMOTE = frozenset({"web", "rpc"})


class HostPlugin:
    """Contributes ``runs.*``, ``lanes.*``, ``host.*`` and ``shell.run``.

    Args:
        kernel: what they work on.
        control: what only the host as a whole can do.
        config: the configuration in force.
    """

    def __init__(self) -> None:
        self._kernel: Kernel
        self._control: HostControl
        self._config: ConfigControl

    def attach(self, kernel: Kernel, control: HostControl, config: ConfigControl) -> None:
        """Give it what its handlers work on, before its hooks are called."""
        self._kernel, self._control, self._config = kernel, control, config

    @hookimpl
    def trunnion_commands(self, settings: Mapping[str, Json]) -> Iterable[Command]:
        """Commands that change runs, lanes and the host."""
        return [
            *RunCommands(self._kernel).commands(),
            *LaneCommands(self._kernel).commands(),
            *SecretCommands(self._kernel).commands(),
            *AccessCommands(self._kernel).commands(),
            *TokenCommands(self._kernel).commands(),
            *FileCommands(self._kernel).commands(),
            *BackupCommand(self._kernel, self._control, self._config).commands(),
            *ImportCommand(self._kernel, self._config.retention).commands(),
            *ShellCommand(self._control).commands(),
            Command.of(
                self._control.drain,
                console="host",
                title="Finish what runs, start nothing new, then stop",
                effect="destroy",
                role="admin",
                lock=None,
                confirm="Stop the host once the running commands have ended?",
            ),
            Command.of(
                self._config.reload,
                console="host",
                title="Take up changes of the configuration",
                effect="write",
                role="admin",
            ),
        ]

    @hookimpl
    def trunnion_queries(self, settings: Mapping[str, Json]) -> Iterable[Query]:
        """Queries over runs, lanes and the host."""
        return [
            *RunQueries(self._kernel).queries(),
            *LaneCommands(self._kernel).queries(),
            *ExplainQuery(self._kernel).queries(),
            *CensusQuery(self._kernel).queries(),
            *SecretCommands(self._kernel).queries(),
            *AccessQueries(self._kernel).queries(),
            *FileCommands(self._kernel).queries(),
            *HostQueries(self._kernel, self._control, self._config).queries(),
        ]

    @hookimpl
    def trunnion_streams(self, settings: Mapping[str, Json]) -> Iterable[StreamSource]:
        """The host's own streams."""
        return [
            StreamSource(
                pattern=RUN_STREAM + "*",
                title="Events of a run",
                description="Everything one run said and did; ends with its terminal state.",
                expose=REMOTE,
            ),
            StreamSource(
                pattern=HOST_STREAM,
                title="What happens to the host",
                description="Starts, trouble, and changes of meta; kind `meta` says that meta should be read again. "
                "The rest is told at local doors and to administrators.",
                expose=REMOTE,
            ),
            StreamSource(
                pattern=STATE_STREAM + "*",
                title="Changes of a plugin's documents",
                description="Which document changed, and to which revision; never its value.",
                role="admin",
            ),
            StreamSource(
                pattern=LOG_STREAM, title="The host's log", description="What is in logs/host.jsonl too.", role="admin"
            ),
            StreamSource(
                pattern=ACCESS_STREAM,
                title="Changes of access",
                description="Who changed principals, tokens and grants, and which proofs were refused.",
                role="admin",
            ),
        ]

    @hookimpl
    def trunnion_consoles(self, settings: Mapping[str, Json]) -> Iterable[Console]:
        """The consoles of the host."""
        return [
            Console(path="runs", title="Runs", description="What was run, and what became of it."),
            Console(path="secrets", title="Secrets", description="What plugins need and nobody is shown."),
            Console(path="artifacts", title="Artifacts", description="Files kept with runs."),
            Console(path="uploads", title="Uploads", description="Files brought before a run needs them."),
            Console(path="lanes", title="Lanes", description="What waits for what."),
            Console(path="log", title="Log", description="What the host wrote down."),
            Console(path="shell", title="The system's shell", description="One line of it, on the host's machine."),
            Console(path="principals", title="Principals", description="People and programs that may do something."),
            Console(path="grants", title="Grants", description="Roles on some commands, queries, streams and runs."),
            Console(path="tokens", title="Tokens", description="API tokens of principals."),
            Console(path="host", title="Host", description="The host itself."),
        ]

    @hookimpl
    def trunnion_provides(self, settings: Mapping[str, Json]) -> Iterable[Provider]:
        """The keeper of all programs that plugins start."""
        return [KEEPER]

    @hookimpl
    def trunnion_frontends(self, settings: Mapping[str, Json]) -> Iterable[Frontend]:
        """The local socket."""
        return [SOCKET_FRONTEND]

    @hookimpl
    def trunnion_meta(self, settings: Mapping[str, Json]) -> Iterable[MetaSection]:
        """The table of error codes, so that clients need not guess."""
        table: list[Json] = [
            {"code": e.code, "http": e.http, "grpc": e.grpc, "exit": e.exit, "meaning": e.meaning}
            for e in ERROR_TABLE.values()
        ]
        return [MetaSection(point="errors", id="codes", data=table)]

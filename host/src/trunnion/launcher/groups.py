"""The subcommands: a table of names, so that ``--help`` and ``--version`` import none of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple

import click

from trunnion.launcher.options import refuse_misplaced

if TYPE_CHECKING:
    from collections.abc import Mapping


class Lazy(NamedTuple):
    """Where a subcommand is defined, a module of the launcher or a whole path, and its line in ``--help``.

    Attributes:
        elsewhere: whether it can be about a host elsewhere, as ``--connect`` names one.
    """

    module: str
    attribute: str
    help: str
    elsewhere: bool = False

    def load(self) -> click.Command:
        """Import it."""
        path = self.module if "." in self.module else f"trunnion.launcher.{self.module}"
        found = getattr(importlib.import_module(path), self.attribute)
        assert isinstance(found, click.Command)
        return found


SUBCOMMANDS: Mapping[str, Lazy] = {
    "up": Lazy("up", "up", "Start the host and the frontends that are installed."),
    "run": Lazy("run", "run", "Run a command and show its output as it comes.", elsewhere=True),
    "query": Lazy("query", "query", "Ask a query and print its value.", elsewhere=True),
    "follow": Lazy("follow", "follow", "Print the events of a stream as they come.", elsewhere=True),
    "runs": Lazy("runs", "runs", "List runs; show, cancel, repeat, export or remove them.", elsewhere=True),
    "artifacts": Lazy("files", "artifacts", "List, check and save files kept with runs.", elsewhere=True),
    "upload": Lazy("files", "upload", "Copy a file to an upload and print its handle.", elsewhere=True),
    "principals": Lazy("access", "principals", "List, add and change people and programs.", elsewhere=True),
    "grants": Lazy("access", "grants", "List, add and remove roles on some things.", elsewhere=True),
    "tokens": Lazy("access", "tokens", "List, make and revoke API tokens.", elsewhere=True),
    "secrets": Lazy("sealed", "secrets", "List, keep and remove secrets; change their key.", elsewhere=True),
    "explain": Lazy(
        "explain", "explain", "Say why something is allowed or not, and what would change it.", elsewhere=True
    ),
    "plugins": Lazy("look", "plugins", "List the plugins and what became of them.", elsewhere=True),
    "meta": Lazy("look", "meta", "List everything there is to run, ask and follow.", elsewhere=True),
    "config": Lazy("config", "config", "Show or check the configuration."),
    "backup": Lazy("backup", "backup", "Write everything that is kept to one file."),
    "restore": Lazy("restore", "restore", "Make a data directory of a backup."),
    "doctor": Lazy("doctor", "doctor", "Look for what could be wrong; mend the store with --repair."),
    "new": Lazy("trunnion.testing.commands", "new", "Write the beginning of a plugin."),
    "check-plugin": Lazy("trunnion.testing.commands", "check", "Check a plugin against the contract."),
    "completion": Lazy("completion", "completion", "Print the completion script of a shell."),
}


class LazyGroup(click.Group):
    """Finds subcommands in the table, and after that among those plugins bring."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The built-in names, in the order of the table."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a built-in one; None if there is none of that name."""
        lazy = SUBCOMMANDS.get(cmd_name)
        return lazy.load() if lazy is not None else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table as it is, without importing what it names."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in SUBCOMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand, here or among those plugins bring, or name the nearest ones."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is not None and not ctx.resilient_parsing:
            refuse_misplaced(ctx, name, elsewhere=SUBCOMMANDS[name].elsewhere)
        if command is None and not ctx.resilient_parsing:
            from trunnion.launcher.contributed import subcommand

            command = subcommand(ctx, name, SUBCOMMANDS)
        return name if command is not None else None, command, args[1:]

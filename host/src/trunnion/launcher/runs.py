"""``trunnion runs``: the host's ``runs.*`` commands and queries, with an eye for the person at the terminal.

Arguments are those of the command or query itself, so they are defined, checked and explained once.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from trunnion.launcher.options import json_option, options_of, screen_of

if TYPE_CHECKING:
    from trunnion.launcher.screen import Screen
    from trunnion.launcher.usage import Kind
    from trunnion.model.json import Json


class View(NamedTuple):
    """One subcommand.

    Attributes:
        kind: whether ``target`` is a command or a query.
        show: how a query's value is shown to a person; with ``--json`` it is printed as it is.
    """

    kind: Kind
    target: str
    help: str
    show: Callable[[Screen, Json], None]


def show_list(screen: Screen, value: Json) -> None:
    """A page of runs as a table, and how to get the next one."""
    from trunnion.launcher.render import show_table

    page = value if isinstance(value, Mapping) else {}
    rows = [_row(run) for run in _objects(page.get("items"))]
    show_table(screen, rows, ["run", "command", "status", "created", "principal", "source"])
    if page.get("next"):
        screen.note(f"there are more: the same again with --cursor {page['next']}")


def show_events(screen: Screen, value: Json) -> None:
    """Events as they looked when they were new."""
    import msgspec

    from trunnion.launcher.render import Renderer
    from trunnion.model.events import Event

    renderer = Renderer(screen, states=True)
    items = value.get("items") if isinstance(value, Mapping) else value
    for item in _objects(items):
        renderer.show(msgspec.json.decode(msgspec.json.encode(item), type=Event))
    renderer.close()


def show_result(screen: Screen, value: Json) -> None:
    """The result alone, out of the run it belongs to; nothing of a run that did not succeed."""
    run = value if isinstance(value, Mapping) else {}
    if run.get("status") == "succeeded":
        show_value(screen, run.get("result"))
    else:
        error = run.get("error")
        message = error.get("message") if isinstance(error, Mapping) else ""
        screen.err(f"error: run {run.get('id')} {str(run.get('status')).replace('_', ' ')}: {message}\n")


def result_status(value: Json) -> int:
    """The exit status that goes with a run: that of its error, 0 when it succeeded."""
    from trunnion.launcher.failures import exit_status

    error = value.get("error") if isinstance(value, Mapping) else None
    return exit_status(str(error.get("code"))) if isinstance(error, Mapping) else 0


def show_export(screen: Screen, value: Json) -> None:
    """The text alone."""
    show_value(screen, value.get("text") if isinstance(value, Mapping) else value)


def show_value(screen: Screen, value: Json) -> None:
    """Text as it is, anything else as indented JSON."""
    if isinstance(value, str):
        screen.out(value if value.endswith("\n") else value + "\n")
    else:
        screen.value(value)


VIEWS: Mapping[str, View] = {
    "list": View("queries", "runs.list", "List runs, newest first.", show_list),
    "show": View("queries", "runs.get", "Show everything known about a run.", show_value),
    "result": View("queries", "runs.result", "Print a run's result.", show_result),
    "events": View("queries", "runs.events", "Print the events of a run.", show_events),
    "export": View("queries", "runs.export", "Write out a run with its events.", show_export),
    "cancel": View("commands", "runs.cancel", "Cancel a run.", show_value),
    "rerun": View("commands", "runs.rerun", "Run again what a run did, with the same arguments.", show_value),
    "prune": View("commands", "runs.prune", "Remove old runs.", show_value),
}


class RunsGroup(click.Group):
    """Makes its subcommands from the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the table."""
        return list(VIEWS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand of a name."""
        view = VIEWS.get(cmd_name)
        return None if view is None else _subcommand(cmd_name, view)


@click.group(cls=RunsGroup)
def runs() -> None:
    """List runs; show, cancel, repeat, export or remove them."""


def _subcommand(name: str, view: View) -> click.Command:
    settings = {"ignore_unknown_options": True, "help_option_names": []}

    @click.command(name, help=view.help, context_settings=settings)
    @json_option
    @click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
    @click.pass_context
    def subcommand(context: click.Context, argv: tuple[str, ...]) -> int:
        return _perform(context, view, argv)

    return subcommand


def _perform(context: click.Context, view: View, argv: Sequence[str]) -> int:
    from trunnion.launcher.usage import print_usage, wants_usage

    options, screen = options_of(context), screen_of(context)
    if wants_usage(argv):
        print_usage(options, screen, view.kind, view.target)
        return 0
    if view.kind == "commands":
        return _run(context, view.target, argv)
    from trunnion.launcher.hosted import ask

    value = ask(options, view.target, argv=argv)
    (screen.value(value) if screen.as_json else view.show(screen, value))
    return result_status(value) if view.target == "runs.result" else 0


def _run(context: click.Context, command_id: str, argv: Sequence[str]) -> int:
    import uuid

    from trunnion.launcher.running import run_in_loop
    from trunnion.model.runs import Invocation

    invocation = Invocation(command_id=command_id, argv=tuple(argv), idempotency_key=uuid.uuid4().hex)
    return run_in_loop(options_of(context), screen_of(context), invocation)


def _row(run: Mapping[str, Json]) -> list[str]:
    created = run.get("created")
    moment = datetime.datetime.fromtimestamp(created / 1e6) if isinstance(created, int) else None
    when = moment.isoformat(" ", "seconds") if moment else ""
    fields = ("id", "command_id", "status", "principal", "source")
    run_id, command_id, status, principal, source = (str(run.get(field) or "") for field in fields)
    return [run_id, command_id, status, when, principal, source]


def _objects(value: Json) -> list[Mapping[str, Json]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, Sequence) else []

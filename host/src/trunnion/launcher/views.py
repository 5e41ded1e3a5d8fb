"""Groups of subcommands over the host's own commands and queries, made from a table.

Arguments are those of the command or query itself, so they are defined, checked and explained once. A table
adds what concerns the person at the terminal: how a value is shown, and which secrets are asked for.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import click

from trunnion.launcher.options import json_option, options_of, screen_of

if TYPE_CHECKING:
    from trunnion.launcher.screen import Screen
    from trunnion.launcher.usage import Kind
    from trunnion.model.json import Json

Show: TypeAlias = "Callable[[Screen, Json], None]"
"""Shows a value to a person."""


class View(NamedTuple):
    """One subcommand.

    Attributes:
        kind: whether ``target`` is a command or a query.
        show: how a query's value or a command's result is shown to a person; with ``--json`` the value or the
            run is printed as it is. None shows it like any other.
        asks: secret arguments that are asked for, twice, unless ``--secret`` gives them. On the command line
            itself they are refused.
        secrets_in: the argument, an object, that takes whatever ``--secret`` gives.
        status: the exit status that goes with a query's value.
    """

    kind: Kind
    target: str
    help: str
    show: Show | None = None
    asks: tuple[str, ...] = ()
    secrets_in: str = ""
    status: Callable[[Json], int] | None = None


class ViewGroup(click.Group):
    """Makes its subcommands from a table.

    Args:
        name: of the group.
        help: its line in ``--help``.
        views: subcommand -> what it stands for.
    """

    def __init__(self, name: str, help: str, views: Mapping[str, View]) -> None:
        super().__init__(name, help=help)
        self._views = views

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the table."""
        return list(self._views)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand of a name."""
        view = self._views.get(cmd_name)
        return None if view is None else _subcommand(cmd_name, view)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand, or say which there are: verbs differ too much to be near one another."""
        names = self.list_commands(ctx)
        if args[0] not in names and not ctx.resilient_parsing:
            raise click.UsageError(f"there is no subcommand {args[0]!r} but {', '.join(names)}", ctx)
        return super().resolve_command(ctx, args)


def _subcommand(name: str, view: View) -> click.Command:
    settings = {"ignore_unknown_options": True, "help_option_names": []}

    @click.command(name, help=view.help, context_settings=settings)
    @json_option
    @click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
    @click.pass_context
    def subcommand(context: click.Context, argv: tuple[str, ...], secrets: tuple[str, ...] = ()) -> int:
        return _perform(context, view, argv, secrets)

    if view.asks or view.secrets_in:
        text = "Give a secret: from env:VARIABLE, file:PATH or - (standard input)."
        subcommand.params.append(click.Option(["--secret", "secrets"], multiple=True, help=text))
    return subcommand


def _perform(context: click.Context, view: View, argv: Sequence[str], secrets: Sequence[str]) -> int:
    from trunnion.launcher.usage import print_usage, wants_usage

    options, screen = options_of(context), screen_of(context)
    if wants_usage(argv):
        print_usage(options, screen, view.kind, view.target, context.command_path)
        return 0
    if view.kind == "commands":
        return _run(context, view, [*_secret_words(view, argv, secrets), *argv])
    from trunnion.launcher.hosted import ask

    value = ask(options, view.target, argv=argv)
    (screen.value(value) if screen.as_json else (view.show or show_value)(screen, value))
    return view.status(value) if view.status is not None else 0


def _secret_words(view: View, argv: Sequence[str], given: Sequence[str]) -> list[str]:
    """The words for secret arguments, from where they were said to be or from whoever is at the terminal."""
    from trunnion.launcher.secrets import asked_twice, entries_for, refuse_in, refuse_unknown, words_for

    if view.secrets_in:
        return entries_for(view.secrets_in, given)
    if not view.asks or not argv:  # without a word for whom or what, nobody is asked for a secret in vain
        return []
    refuse_in(argv, view.asks)
    named = {option.partition("=")[0] for option in given}
    refuse_unknown(named, view.asks)
    return [*words_for(given), *asked_twice(name for name in view.asks if name not in named)]


def _run(context: click.Context, view: View, argv: Sequence[str]) -> int:
    import uuid
    from functools import partial

    from trunnion.launcher.attend import tell_end, tell_result
    from trunnion.launcher.place import here
    from trunnion.launcher.running import run_in_loop
    from trunnion.model.runs import Invocation

    once = uuid.uuid4().hex
    invocation = Invocation(command_id=view.target, argv=tuple(argv), idempotency_key=once, cwd=here())
    tell = tell_end if view.show is None else partial(tell_result, view.show)
    return run_in_loop(options_of(context), screen_of(context), invocation, tell=tell)


# -- showing ---------------------------------------------------------------------------------------


def show_value(screen: Screen, value: Json) -> None:
    """Text as it is, anything else as indented JSON."""
    if isinstance(value, str):
        screen.out(value if value.endswith("\n") else value + "\n")
    else:
        screen.value(value)


def table_of(headers: Sequence[str], row: Callable[[Mapping[str, Json]], Sequence[str]]) -> Show:
    """A way to show a page of a list: a table, and how to get the next page.

    Args:
        headers: of the columns.
        row: the cells of one item.
    """

    def show(screen: Screen, value: Json) -> None:
        from trunnion.launcher.render import show_table

        page = value if isinstance(value, Mapping) else {}
        show_table(screen, [row(item) for item in objects(page.get("items"))], headers)
        if page.get("next"):
            screen.note(f"there are more: the same again with --cursor {page['next']}")

    return show


def moment(value: Json) -> str:
    """UTC microseconds as local time; ``""`` for none."""
    if not isinstance(value, int) or not value:
        return ""
    return datetime.datetime.fromtimestamp(value / 1e6).isoformat(" ", "seconds")


def objects(value: Json) -> list[Mapping[str, Json]]:
    """The objects of a list."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, Sequence) else []


def text_of(item: Mapping[str, Json], *fields: str) -> list[str]:
    """Fields as cells; what is not there is empty, lists are joined."""
    return [_cell(item.get(field)) for field in fields]


def _cell(value: Json) -> str:
    if value is None or value is False:
        return ""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "yes" if value is True else str(value)

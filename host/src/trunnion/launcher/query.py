"""``trunnion query``."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from trunnion.launcher.options import json_option, options_of, screen_of


def _complete_name(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from trunnion.launcher.completion import complete_names

    return complete_names(ctx, incomplete, "queries")


def _complete_word(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from trunnion.launcher.completion import complete_arguments

    return complete_arguments(ctx, ctx.params["query_id"], ctx.params.get("argv") or (), incomplete)


class QueryCommand(click.Command):
    """Leaves everything after the query's name to the query, completion of its options included."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Its own options before the name, the query's after it."""
        if ctx.params.get("query_id"):
            return _complete_word(ctx, self.params[-1], incomplete)
        return super().shell_complete(ctx, incomplete)


@click.command(cls=QueryCommand, context_settings={"allow_interspersed_args": False})
@json_option
@click.argument("query_id", metavar="QUERY", shell_complete=_complete_name)
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...", shell_complete=_complete_word)
@click.pass_context
def query(context: click.Context, query_id: str, argv: tuple[str, ...]) -> None:
    """Ask a query and print its value, such as: trunnion query runs.list --limit 3."""
    from trunnion.launcher.hosted import ask
    from trunnion.launcher.usage import print_usage, wants_usage, with_hint
    from trunnion.model.errors import TrunnionError

    options, screen = options_of(context), screen_of(context)
    if wants_usage(argv):
        print_usage(options, screen, "queries", query_id)
        return
    try:
        value = ask(options, query_id, argv=argv)
    except TrunnionError as error:
        raise with_hint(error, "query", query_id, argv) from None
    screen.value(value)

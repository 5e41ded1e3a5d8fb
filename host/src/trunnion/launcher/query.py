"""``trunnion query``."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from trunnion.launcher.options import json_option, options_of, screen_of


class QueryCommand(click.Command):
    """Leaves everything after the query's name to the query."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names from the host, then nothing."""
        from trunnion.launcher.completion import complete_names

        if ctx.params.get("query_id") is None and not incomplete.startswith("-"):
            return complete_names(ctx, incomplete, "queries")
        return super().shell_complete(ctx, incomplete)


@click.command(cls=QueryCommand, context_settings={"allow_interspersed_args": False})
@json_option
@click.argument("query_id", metavar="QUERY")
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
@click.pass_context
def query(context: click.Context, query_id: str, argv: tuple[str, ...]) -> None:
    """Ask a query and print its value, such as: trunnion query runs.list --limit 3."""
    from trunnion.launcher.hosted import ask
    from trunnion.launcher.usage import print_usage, wants_usage

    options, screen = options_of(context), screen_of(context)
    if wants_usage(argv):
        print_usage(options, screen, "queries", query_id)
        return
    screen.value(ask(options, query_id, argv=argv))

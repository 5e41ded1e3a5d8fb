"""``trunnion run``."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from trunnion.launcher.options import json_option, options_of, screen_of


def _complete_name(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from trunnion.launcher.completion import complete_names

    return complete_names(ctx, incomplete)


def _complete_word(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from trunnion.launcher.completion import complete_arguments

    return complete_arguments(ctx, ctx.params["command_id"], ctx.params.get("argv") or (), incomplete)


class RunCommand(click.Command):
    """Leaves everything after the command's name to the command, completion of its options included."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Its own options before the name, the command's after it."""
        if ctx.params.get("command_id"):
            return _complete_word(ctx, self.params[-1], incomplete)
        return super().shell_complete(ctx, incomplete)


def _labels(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"{value!r} is not KEY=VALUE")
    return dict(value.partition("=")[::2] for value in values)


@click.command(cls=RunCommand, context_settings={"allow_interspersed_args": False})
@json_option
@click.option("--detach", is_flag=True, help="Print the run's id and leave it running.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Seconds the run may take, waiting included.")
@click.option("--key", help="Idempotency key: a second call with the same key joins the first one's run.")
@click.option("--label", "labels", multiple=True, callback=_labels, metavar="KEY=VALUE", help="Mark the run.")
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="NAME[=SOURCE]",
    help="Give a secret argument: asked for, or from env:VARIABLE, file:PATH or - (standard input).",
)
@click.argument("command_id", metavar="COMMAND", shell_complete=_complete_name)
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...", shell_complete=_complete_word)
@click.pass_context
def run(
    context: click.Context,
    *,
    command_id: str,
    argv: tuple[str, ...],
    detach: bool,
    timeout: float | None,
    key: str | None,
    labels: dict[str, str],
    secrets: tuple[str, ...],
) -> int:
    """Run a command and show its output as it comes.

    Options of run itself come before COMMAND; everything after it belongs to the command, --help too.
    """
    import uuid

    from trunnion.launcher.place import here
    from trunnion.launcher.running import run_in_loop
    from trunnion.launcher.secrets import missing, words_for
    from trunnion.launcher.usage import print_usage, wants_usage, with_hint
    from trunnion.model.errors import TrunnionError
    from trunnion.model.runs import Invocation

    options, screen = options_of(context), screen_of(context)
    if wants_usage(argv):
        print_usage(options, screen, "commands", command_id)
        return 0

    def start(words: tuple[str, ...]) -> int:
        asked = Invocation(
            command_id=command_id, argv=words, timeout=timeout, idempotency_key=once, labels=labels, cwd=here()
        )
        return run_in_loop(options, screen, asked, detach=detach)

    once, given = key or uuid.uuid4().hex, (*words_for(secrets), *argv)
    try:
        return start(given)
    except TrunnionError as error:
        asked = missing(options, command_id, error)
        if not asked:
            raise with_hint(error, "run", command_id, argv) from None
    return start((*asked, *given))

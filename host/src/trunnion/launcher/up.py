"""``trunnion up``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trunnion.launcher.options import json_option, options_of, screen_of

if TYPE_CHECKING:
    from trunnion.launcher.lifeline import Lifeline


def _lifeline(_context: click.Context, _parameter: click.Parameter, value: int | None) -> Lifeline | None:
    if value is None:
        return None
    from trunnion.launcher.lifeline import Lifeline

    try:
        return Lifeline(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@json_option
@click.option("--lifeline", type=int, callback=_lifeline, hidden=True, help="For a shell that starts a host.")
@click.pass_context
def up(context: click.Context, *, lifeline: Lifeline | None) -> int:
    """Start the host and the frontends that are installed; Ctrl-C or SIGTERM ends it, a second one at once."""
    from trunnion.running import run, spare_start

    spare_start()
    from trunnion.launcher.serving import serve

    screen = screen_of(context)
    if lifeline is not None:
        from trunnion.launcher.lifeline import take_output
        from trunnion.launcher.screen import Screen

        screen = Screen(as_json=True, out=take_output())
    return run(serve(options_of(context), screen, lifeline))

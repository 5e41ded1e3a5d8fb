"""``trunnion up``."""

from __future__ import annotations

import click

from trunnion.launcher.options import json_option, options_of, screen_of


@click.command()
@json_option
@click.pass_context
def up(context: click.Context) -> int:
    """Start the host and the frontends that are installed; Ctrl-C or SIGTERM ends it, a second one at once."""
    from trunnion.running import run, spare_start

    spare_start()
    from trunnion.launcher.serving import serve

    return run(serve(options_of(context), screen_of(context)))

"""``trunnion follow``."""

from __future__ import annotations

import click

from trunnion.launcher.options import json_option, options_of, screen_of


@click.command()
@json_option
@click.option("--after", type=click.IntRange(0), default=0, help="The number of the last event already seen.")
@click.option("--no-live", "live", is_flag=True, default=True, flag_value=False, help="End at the present end.")
@click.argument("stream")
@click.pass_context
def follow(context: click.Context, stream: str, after: int, live: bool) -> int:
    """Print the events of a stream as they come, such as: trunnion follow run/RUN_ID."""
    import asyncio

    from trunnion.launcher.following import follow_stream

    return asyncio.run(follow_stream(options_of(context), screen_of(context), stream, after, live=live))

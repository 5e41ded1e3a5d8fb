"""``trunnion shell``."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trunnion.launcher.options import BY_UP, Options, options_of
from trunnion_tty.settings import Theme

if TYPE_CHECKING:
    from trunnion.launcher.behind import HostBehind
    from trunnion.launcher.joining import Start


def _begun(given: Options, start: Start) -> tuple[Options, HostBehind | None]:
    """The options for a shell, and a host that starts while this process imports the rest."""
    if given.connect is not None:  # of a host elsewhere others see to it that it runs
        return given, None
    from trunnion.launcher.joining import begin
    from trunnion.launcher.place import locate

    # A host that this shell starts again is to be found where the first one was, whatever the configuration says then.
    options = given._replace(data_dir=str(locate(given).data.root))
    return options, begin(options, start)


@click.command()
@click.option("--plain", is_flag=True, help="Draw nothing: for pipes, logs and terminals that only print.")
@click.option("--keep-going", is_flag=True, help="Of lines that are not typed: go on after one that failed.")
@click.option("--no-start", is_flag=True, help="Start no host if none is running.")
@click.option("--no-history", is_flag=True, help="Read and keep no history.")
@click.option("--theme", type=click.Choice(["dark", "light", "mono"]), help="Colours, instead of those configured.")
@click.option("-c", "lines", metavar="LINE", multiple=True, help="Do this line and end; given again, that one too.")
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.pass_context
def shell(
    context: click.Context,
    *,
    plain: bool,
    keep_going: bool,
    no_start: bool,
    no_history: bool,
    theme: Theme | None,
    lines: tuple[str, ...],
    file: Path | None,
) -> int:
    """Open a shell on the host: type commands, see what runs; help lists what there is.

    Without a running host one is started, and ends with the shell; but none elsewhere, as --connect names one. Lines
    that come from FILE, from -c or from a pipe are done one after the other up to the first that fails.
    """
    if lines and file is not None:
        raise click.UsageError("-c and FILE both say what to do: leave one out")
    always = context.meta.get(BY_UP, False)
    start: Start = "always" if always else "never" if no_start else "missing"
    options, begun = _begun(options_of(context), start)
    gc.disable()  # what is imported stays: ``main`` lets the collector begin behind it
    try:
        import asyncio

        from trunnion_tty.main import Wish, main

        wish = Wish(plain, keep_going, start, not no_history, theme, lines, file)
        return asyncio.run(main(options, wish, begun))
    finally:
        gc.enable()

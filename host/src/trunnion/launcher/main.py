"""The console script ``trunnion``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from trunnion.launcher.failures import exit_status, report
from trunnion.launcher.groups import LazyGroup
from trunnion.launcher.options import JSON_KEY, names, not_empty, options_of
from trunnion.launcher.screen import Screen, lead_nowhere

PROGRAM = "trunnion"
COMPLETE = "_TRUNNION_COMPLETE"


def _version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from trunnion._version import VERSION

        click.echo(f"{PROGRAM} {VERSION}")
        context.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(), callback=not_empty, help="The configuration file.")
@click.option("--data-dir", type=click.Path(), callback=not_empty, help="The data directory.")
@click.option("--only", callback=names, metavar="A,B", help="Load these plugins and no other.")
@click.option("--without", callback=names, metavar="A,B", help="Do not load these plugins.")
@click.option("--plugin-dir", "plugin_dirs", type=click.Path(), multiple=True, help="Load single-file plugins.")
@click.option("--set", "set", multiple=True, metavar="KEY=VALUE", help="Override a setting.")
@click.option("--safe-mode", is_flag=True, help="Load built-ins only.")
@click.option("--strict", is_flag=True, help="Refuse to start when any plugin is broken.")
@click.option("--connect", callback=not_empty, metavar="URL", help="Use a host elsewhere: a URL, or a name of one.")
@click.option("--token-file", type=click.Path(), callback=not_empty, help="The API token to show to it.")
@click.option("--ca", type=click.Path(), callback=not_empty, help="The certificates it is known by.")
@click.option("--cert", type=click.Path(), callback=not_empty, help="The certificate to show to it.")
@click.option("--key", type=click.Path(), callback=not_empty, help="The key of that certificate.")
@click.option("--debug", is_flag=True, help="Show the traceback of a defect.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
def cli(**_options: object) -> None:
    """Declare an operation once; run it from every door."""


def run(args: Sequence[str]) -> int:
    """Do what the arguments say; every failure becomes one line and an exit status.

    Args:
        args: the command line without the program's name.

    Returns:
        The exit status.
    """
    context: click.Context | None = None
    try:
        context = cli.make_context(PROGRAM, list(args))
        with context:
            result = cli.invoke(context)
        return result if isinstance(result, int) else 0
    except BaseException as error:
        parsed = context is not None and not isinstance(error, click.UsageError)
        as_json = context.meta.get(JSON_KEY, False) if context is not None and parsed else "--json" in args
        debug = options_of(context).debug if context is not None else "--debug" in args
        return report(error, Screen(as_json=bool(as_json)), debug=debug)


def _open_missing_streams() -> None:
    """Give standard streams that the caller closed to nowhere, before a file of ours gets their number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _written(status: int) -> int:
    """The exit status once all that was said is written. What cannot be is given up, lest Python tries it again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            lead_nowhere(stream)
            status = status or exit_status("unavailable")
    return status


def main() -> None:
    """What the console script calls."""
    _open_missing_streams()
    if COMPLETE in os.environ:
        from trunnion.launcher.completion import serve

        sys.exit(serve(os.environ[COMPLETE]))
    sys.exit(_written(run(sys.argv[1:])))

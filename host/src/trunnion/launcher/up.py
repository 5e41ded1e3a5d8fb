"""``trunnion up``: a shell with a host behind it where somebody sits at a terminal, else the host itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from trunnion.launcher.options import BY_UP, json_option, options_of, screen_of

if TYPE_CHECKING:
    from trunnion.launcher.lifeline import Lifeline

SHELL = "shell"
"""The subcommand of a plugin that is in front."""


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
@click.option("--no-shell", is_flag=True, help="Open no shell, also at a terminal where a plugin brings one.")
@click.option("--lifeline", type=int, callback=_lifeline, hidden=True, help="For a shell that starts a host.")
@click.pass_context
def up(context: click.Context, *, no_shell: bool, lifeline: Lifeline | None) -> int:
    """Start the host and the frontends that are installed; Ctrl-C or SIGTERM ends it, a second one at once.

    At a terminal, with a plugin that brings a shell, the host runs behind that and ends with it.
    """
    wanted = not no_shell and lifeline is None and not screen_of(context).as_json
    if wanted and _is_attended() and (shell := _shell(context)) is not None:
        return _hand_over(context, shell)
    return _serve(context, lifeline)


def _is_attended() -> bool:
    """Whether somebody sits at a terminal and this process is the one they talk to, and not a job in the background."""
    try:
        return os.isatty(1) and os.tcgetpgrp(0) == os.getpgrp()  # which fails where 0 is no terminal
    except OSError:
        return False


def _shell(context: click.Context) -> click.Command | None:
    from trunnion.launcher.contributed import contributed
    from trunnion.model.errors import BrokenPlugin

    try:
        return contributed(context, SHELL)
    except BrokenPlugin as error:
        screen_of(context).note(f"no shell is opened: {error.message}")
        return None


def _hand_over(context: click.Context, shell: click.Command) -> int:
    """Call a shell as if it stood on the command line without arguments; returns the exit status."""
    context.meta[BY_UP] = True
    with shell.make_context(SHELL, [], parent=context.find_root()) as called:
        result: object = shell.invoke(called)
    return result if isinstance(result, int) else 0


def _serve(context: click.Context, lifeline: Lifeline | None) -> int:
    from trunnion.running import run, spare_start

    spare_start()
    from trunnion.launcher.serving import serve

    screen = screen_of(context)
    if lifeline is not None:
        from trunnion.launcher.lifeline import take_output
        from trunnion.launcher.screen import Screen

        screen = Screen(as_json=True, out=take_output())
    return run(serve(options_of(context), screen, lifeline))

"""``trunnion audit``."""

from __future__ import annotations

import click


@click.group()
def audit() -> None:
    """The record of who did what."""


@audit.command()
@click.pass_context
def status(context: click.Context) -> None:
    """How the record fares: whether it is written, how far it is, what signs it."""
    from trunnion.launcher.hosted import ask
    from trunnion.launcher.options import options_of, screen_of

    screen_of(context).value(ask(options_of(context), "audit.status"))


@audit.command()
@click.argument("reason")
@click.pass_context
def recover(context: click.Context, reason: str) -> int:
    """Begin another log in the place of one that cannot be gone on with; REASON goes on record.

    The old log is put aside whole, and the new one says so in its first record. It works while every other command is
    refused because nothing can be recorded, for the owner of the data directory, at this machine.
    """
    return _run(context, "audit.recover", reason)


@audit.command("rotate-key")
@click.argument("reason")
@click.pass_context
def rotate_key(context: click.Context, reason: str) -> int:
    """Have a new key sign from now on, for which the old one vouches; REASON goes on record."""
    return _run(context, "audit.rotate-key", reason)


def _run(context: click.Context, command_id: str, *argv: str) -> int:
    """Run a command of the host, starting one where none is running."""
    import uuid

    from trunnion.launcher.options import options_of, screen_of
    from trunnion.launcher.place import here
    from trunnion.launcher.running import run_in_loop
    from trunnion.model.runs import Invocation

    asked = Invocation(command_id=command_id, argv=argv, idempotency_key=uuid.uuid4().hex, cwd=here())
    return run_in_loop(options_of(context), screen_of(context), asked)

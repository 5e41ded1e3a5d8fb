"""``trunnion audit``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from trunnion.launcher.options import json_option
from trunnion.model.errors import InvalidArguments, NotFound
from trunnion.model.json import decode, encode
from trunnion_audit.reading_command import export, search, tail


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


@audit.command("verify")
@click.argument("what", nargs=-1, metavar="[DIR]... | receipt FILE... | proof FILE...")
@click.option("--since", metavar="N|TIME", help="Begin with the segment that holds this record, or time (UTC).")
@click.option("--against", multiple=True, metavar="FILE|SIZE:ROOT", help="A root kept elsewhere, or lines of such.")
@click.option("--keys", metavar="FILE|ID", help="Keys from outside: a copy of keys.json, a public key, or its id.")
@click.option("--host", "host_id", default="", metavar="ID", help="The host whose log it must be.")
@click.option("--workers", type=click.IntRange(1, 64), metavar="COUNT", help="Processes that read a large log.")
@json_option
@click.pass_context
def check(
    context: click.Context,
    what: Sequence[str],
    since: str | None,
    against: Sequence[str],
    keys: str | None,
    host_id: str,
    workers: int | None,
) -> int:
    """Check the log of this host, or others, or receipts, or proofs.

    Needs no running host, and does not mind one. Exit status: 0 intact, 1 not, 2 it could not be read. The file
    verify.py of this plugin does the same on another machine, without Trunnion.
    """
    from trunnion.launcher.options import screen_of
    from trunnion_audit.verify import Trouble, answer, question_of

    screen = screen_of(context)
    try:
        question = question_of(keys=keys, against=against, host_id=host_id, since=since, workers=workers)
        reports = answer(what or [str(_folder(context))], question)
    except Trouble as trouble:
        raise InvalidArguments(str(trouble)) from None
    if screen.as_json:
        screen.value([decode(encode(report.as_json())) for report in reports])
    else:
        screen.out("".join(f"{line}\n" for report in reports for line in report.lines()))
    return int(any(report.verdict != "intact" for report in reports))


@audit.command()
@click.argument("run")
@click.option("--events", is_flag=True, help="Disclose the events of the run too.")
@click.pass_context
def receipt(context: click.Context, run: str, events: bool) -> int:
    """Print the receipt of RUN: that it is on record, who ran it, with which arguments and which result.

    Whoever gets it checks it offline, with verify.py and the keys of this host. That it was made is on record too.
    """
    return _run(context, "audit.receipt", run, *(["--events"] if events else []))


@audit.command()
@click.argument("size", type=click.IntRange(1))
@click.pass_context
def proof(context: click.Context, size: int) -> None:
    """Print a proof that the log of now begins with the whole of what it was when it had SIZE records.

    For whoever kept the root of then, and does not see the log itself.
    """
    from trunnion.launcher.options import screen_of
    from trunnion_audit.keys import KeyProblem, read_keys
    from trunnion_audit.proofs import Unprovable, proof_file

    folder = _folder(context)
    try:
        listed = read_keys(folder)
        entries = () if listed is None else listed.keys
        keys = [{"id": entry.id, "public": entry.public, "record": entry.record} for entry in entries]
        file = proof_file(folder, size, "" if listed is None else listed.host_id, keys)
    except (KeyProblem, Unprovable) as error:
        raise NotFound(str(error)) from error
    screen_of(context).out(file.decode())


audit.add_command(search)
audit.add_command(tail)
audit.add_command(export)


def _folder(context: click.Context) -> Path:
    """Where the log of this machine's host lies."""
    from trunnion.launcher.options import options_of
    from trunnion.launcher.place import locate

    options = options_of(context)
    if options.connect is not None:
        raise InvalidArguments("this reads the log itself, at this machine: leave --connect out")
    return locate(options).data.audit


def _run(context: click.Context, command_id: str, *argv: str) -> int:
    """Run a command of the host, starting one where none is running."""
    import uuid

    from trunnion.launcher.options import options_of, screen_of
    from trunnion.launcher.place import here
    from trunnion.launcher.running import run_in_loop
    from trunnion.model.runs import Invocation

    asked = Invocation(command_id=command_id, argv=argv, idempotency_key=uuid.uuid4().hex, cwd=here())
    return run_in_loop(options_of(context), screen_of(context), asked)

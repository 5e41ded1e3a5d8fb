"""The commands and queries of the audit itself. Whoever uses them is on record, whatever the policy says."""

from __future__ import annotations

from collections.abc import Sequence

from trunnion import Command, Context, Contributed, Json, Query
from trunnion_audit.admitting import RECOVER
from trunnion_audit.audit import Audit
from trunnion_audit.building import REASON, cut

LOCK = "audit"


def _said(ctx: Context, reason: str) -> str:
    """A reason as it goes on record: without secrets, and not longer than others."""
    return cut(ctx.redacted(reason), REASON)


async def recover(ctx: Context, reason: str) -> Json:
    """Begin another audit log in the place of one that cannot be gone on with.

    The old one is put aside whole; the first record of the new one says where it is, how far it went and why. This is
    the one command that runs while nothing can be put on record.

    Args:
        reason: for the record.
    """
    return await ctx.require(Audit).recover(_said(ctx, reason), ctx.caller, ctx.run.id)


async def rotate_key(ctx: Context, reason: str) -> str:
    """Have a new key sign the audit log from now on; the old one vouches for it and is removed.

    Args:
        reason: for the record.
    """
    return await ctx.require(Audit).rotate_key(_said(ctx, reason), ctx.caller, ctx.run.id)


async def receipt(ctx: Context, run: str, events: bool = False) -> str:
    """Make the receipt of a run, with which others can see offline that it is on record, and what it was given.

    It discloses who ran what with which arguments (secrets cut) and with which result, and is signed. Whoever has it
    checks it with verify.py.

    Args:
        run: id of the run.
        events: disclose its events too.
    """
    return await ctx.require(Audit).receipt(run, events=events)


async def prune(ctx: Context) -> dict[str, Json]:
    """Remove now what [audit] keep_days and keep_bytes do not keep; a signed record vouches for the rest.

    What is removed is gone through before: if it is not as it was written, it stays.
    """
    return await ctx.require(Audit).retention.apply(ctx.caller, ctx.run.id)


def commands() -> Sequence[Command]:
    """What can be done."""
    return [
        Command.of(recover, id=RECOVER, role="admin", local=True, lock=LOCK),
        Command.of(rotate_key, id="audit.rotate-key", role="admin", lock=LOCK),
        Command.of(receipt, id="audit.receipt", role="admin", effect="read", lock=LOCK),
        Command.of(prune, id="audit.prune", role="admin", lock=LOCK, effect="destroy"),
    ]


def queries(audit: Audit) -> Contributed:
    """What can be asked of an audit that is open."""

    async def status() -> Json:
        """How the audit log fares: whether it is written, how far it is, what signs it, and its further places."""
        return audit.status()

    return Contributed(queries=[Query.of(status, console="audit", role="viewer")])

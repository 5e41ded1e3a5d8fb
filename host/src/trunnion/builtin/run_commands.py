"""``runs.*`` commands: what changes runs or their history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Annotated

import msgspec

from trunnion.access.redaction import MASK
from trunnion.arguments.hints import Secret
from trunnion.kernel.context import Context
from trunnion.kernel.core import Kernel
from trunnion.kernel.door import Door
from trunnion.kernel.threads import in_thread
from trunnion.model.commands import Command
from trunnion.model.errors import Conflict, Forbidden, InvalidArguments, NotFound
from trunnion.model.json import Json
from trunnion.model.retention import ALL, Rule
from trunnion.model.runs import Caller, Invocation, Run
from trunnion.store.pruning import Pruned, prune

REMOTE = frozenset({"web", "rpc"})
US_PER_SECOND = 1_000_000
Amount = Annotated[int, msgspec.Meta(ge=0)]


class RunCommands:
    """Cancels, repeats and removes runs."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def commands(self) -> list[Command]:
        """All of them."""
        return [
            Command.of(self.cancel, console="runs", title="Cancel a run", lock=None, expose=REMOTE),
            Command.of(self.rerun, console="runs", title="Run something again", lock=None, expose=REMOTE),
            Command.of(self.prune, console="runs", title="Remove old runs", role="admin", effect="destroy"),
            Command.of(
                self.forget, console="runs", title="Remove one run with everything kept with it", role="admin",
                effect="destroy", lock=None, confirm="Remove the run, its output and its files for good?",
            ),
        ]  # fmt: skip

    async def cancel(self, ctx: Context, run_id: str) -> Json:
        """Have a run end; what waits ends at once, what works is told and given time.

        Args:
            run_id: the run.
        """
        door, caller = self._door(ctx)
        return _brief(await door.cancel(caller, run_id))

    async def rerun(
        self, ctx: Context, run_id: str, *, args: Annotated[dict[str, Json] | None, Secret()] = None
    ) -> Json:
        """Run the same command with the same arguments again; the new run names the old one.

        Args:
            run_id: the run to repeat.
            args: arguments to change; secret ones must be given again, at a terminal with --secret NAME.
        """
        # ``args`` is secret as a whole: what it changes may be a secret of the command that is repeated.
        door, caller = self._door(ctx)
        old = await door.get(caller, run_id)
        entry, _ = self._kernel.lookup.command(old.command_id, caller)
        secret = entry.parameters.secret | {name for name, value in old.args.items() if value == MASK}
        given = args or {}
        missing = sorted(name for name in secret if name in old.args and name not in given)
        if missing:
            words = " ".join(f"--secret {name}" for name in missing)
            raise InvalidArguments(
                f"the secret arguments {', '.join(missing)} were not kept: give them again in args; "
                f"at a terminal: trunnion runs rerun {words} {run_id}"
            )
        invocation = Invocation(
            command_id=old.command_id,
            args={**old.args, **given},
            session_id=old.session_id,
            labels=old.labels,
            cwd=old.cwd,
        )
        return _brief(await door.submit(caller, invocation, rerun_of=old.id))

    async def prune(
        self,
        *,
        older_than: timedelta | None = None,
        keep: Amount | None = None,
        bytes: Amount | None = None,
        command: str | None = None,
        dry_run: bool = False,
    ) -> dict[str, Json]:
        """Remove ended runs with their output and files, the oldest first.

        Args:
            older_than: those that ended longer ago than this.
            keep: those beyond the newest so many.
            bytes: as many as it takes until no more than this is kept: of the database and the files together, or of
                what belongs to the runs of ``command``.
            command: only runs of this command; ``device.*`` takes all that begin so.
            dry_run: only say what would be removed.
        """
        if (older_than, keep, bytes) == (None, None, None):
            raise InvalidArguments("say which runs: --older-than, --keep, --bytes, or several of them")
        age = None if older_than is None else int(older_than.total_seconds() * US_PER_SECOND)
        rule = Rule(command or ALL, age, keep, bytes)
        work = partial(prune, self._kernel.store, [rule], self._kernel.clock.utc(), dry_run=dry_run)
        gone = await in_thread(self._kernel.readers, work)
        await self._kernel.files.upkeep.sweep()
        return {"dry_run": dry_run, **_summed(gone), "of": [_told(each) for each in gone]}

    async def forget(self, ctx: Context, run_id: str) -> dict[str, Json]:
        """Remove one ended run with everything kept with it.

        Args:
            run_id: the run.
        """
        door, caller = self._door(ctx)
        run = await door.get(caller, run_id)
        if not self._kernel.policy.may_control_run(run, caller):
            raise Forbidden(f"run {run_id} is another's: {caller.principal} may look at it, not remove it")
        if not run.ended:
            raise Conflict(f"run {run_id} has not ended: cancel it first")
        if not await in_thread(self._kernel.readers, lambda: self._kernel.store.forget(run_id)):
            raise NotFound(f"there is no run {run_id!r}")
        await self._kernel.files.upkeep.sweep()
        return {"forgotten": run_id}

    def _door(self, ctx: Context) -> tuple[Door, Caller]:
        """The caller's own door: what it may not do itself it cannot do through these commands."""
        return Door(self._kernel, ctx.caller.source), ctx.caller


def _brief(run: Run) -> Json:
    return {"id": run.id, "command_id": run.command_id, "status": run.status}


def _summed(gone: Sequence[Pruned]) -> dict[str, Json]:
    return {name: sum(getattr(each, name) for each in gone) for name in ("runs", "events", "bytes")}


def _told(gone: Pruned) -> dict[str, Json]:
    return {name: getattr(gone, name) for name in ("command", "limit", "on", "runs", "events", "bytes")}

"""What the watchdog of the loop needs of a host, and what it tells it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from trunnion.kernel.blame import Blame
from trunnion.kernel.clock import Clock
from trunnion.kernel.live import RunTable
from trunnion.kernel.mailbox import Mailbox
from trunnion.kernel.places import ModuleOwners
from trunnion.kernel.rarely import PAUSE, Rarely
from trunnion.kernel.reporting import HostLog
from trunnion.kernel.watchdog import Block, RunAt, Task, Watchdog, told
from trunnion.model.json import Json
from trunnion.model.names import plugin_of

RUN = "run "
"""How the tasks of runs are called, before the id."""


class Watching:
    """Watches the loop of one host.

    Attributes:
        owners: which plugin has which module.
        set_limit: seconds that the loop may go without turning; 0 looks away.
        close: ends the watching.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        table: RunTable,
        mailbox: Mailbox,
        host_log: HostLog,
        blame: Blame,
        clock: Clock,
    ) -> None:
        self.owners = ModuleOwners()
        self._table = table
        self._mailbox = mailbox
        self._blame = blame
        self._rarely = Rarely(host_log.report, clock)
        watchdog = Watchdog(loop, self.owners, self._run_of, host_log.log, self._ended)
        self.set_limit = watchdog.set_limit
        self.close = watchdog.close

    def _run_of(self, task: Task) -> RunAt | None:
        """In the watchdog's thread: no more than one look at the table."""
        name = task.get_name() if isinstance(task, asyncio.Task) else ""
        live = self._table.live.get(name.removeprefix(RUN)) if name.startswith(RUN) else None
        if live is None or live.task is not task or live.entry is None:
            return None
        return RunAt(plugin_of(live.entry.owner), live.id, live.run.command_id)

    def _ended(self, block: Block) -> None:
        """In the watchdog's thread."""
        self._mailbox.post(lambda: self._tell(block))

    def _tell(self, block: Block) -> None:
        place, who = str(block.spot), told(block)
        if block.plugin:
            short = f"{Path(block.spot.file).name}:{block.spot.line}" if block.spot.file else ""
            self._blame.blocked(block.plugin, f"kept the loop from turning for {block.seconds:.3g} s", short)
        self._rarely.say(
            "loop.blocked",
            (block.plugin, place),
            f"the loop did not turn for {block.seconds:.3g} s: {who}",
            lambda count: f"the loop did not turn {count} more times within {PAUSE:g} s, the last time: {who}",
            facts=_facts(block),
        )


def _facts(block: Block) -> dict[str, Json]:
    facts: dict[str, Json] = {
        "plugin": block.plugin,
        "seconds": round(block.seconds, 3),
        "cpu": round(block.cpu, 3),
    }
    if block.spot.file:
        facts |= {"file": block.spot.file, "line": block.spot.line, "function": block.spot.function}
    if block.run is not None:
        facts |= {"run": block.run.run_id, "command": block.run.command_id}
    if block.held:
        facts |= {"held": block.held, "suspect": block.spot.plugin if not block.plugin else ""}
    return facts

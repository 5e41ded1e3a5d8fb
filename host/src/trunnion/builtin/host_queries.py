"""``host.*`` and ``log.*``: queries about the host itself."""

from __future__ import annotations

from typing import Annotated

import msgspec

from trunnion.builtin.control import ConfigControl, HostControl
from trunnion.kernel.core import Kernel
from trunnion.kernel.meta import plugin_shown, with_trouble
from trunnion.kernel.reporting import LOG_STREAM
from trunnion.kernel.threads import in_thread
from trunnion.model.commands import Query
from trunnion.model.events import LEVELS
from trunnion.model.json import Json, decode, encode
from trunnion.model.runs import Caller
from trunnion.store.listing import parse_cursor

REMOTE = frozenset({"web", "rpc"})
_FOR_ALL = ("host_id", "boot_id", "version", "mode", "started", "runs", "draining")
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class HostQueries:
    """Answers from the kernel's memory, but for the log, which is a stream."""

    def __init__(self, kernel: Kernel, control: HostControl, config: ConfigControl) -> None:
        self._kernel = kernel
        self._control = control
        self._config = config

    def queries(self) -> list[Query]:
        """All of them."""
        return [
            Query.of(self.status, console="host", title="How the host fares", expose=REMOTE),
            Query.of(self.plugins, console="host", title="Plugins and what became of each", expose=REMOTE),
            Query.of(self.meta, console="host", title="Everything there is", expose=REMOTE),
            Query.of(self.config, console="host", title="Settings in force", role="admin"),
            Query.of(
                self.config_check, console="host", name="config-check", title="Check the configuration", role="admin"
            ),
            Query.of(self.log, console="log", name="query", title="Lines of the host's log", role="admin"),
        ]

    async def status(self, caller: Caller) -> dict[str, Json]:
        """Identity, frontends, daemons and providers, runs at work and waiting, the store, and what was refused.

        Remote callers who are not admin are told how the host fares, without places, reasons and plugins.
        """
        whole = await self._status()
        return whole if self._kernel.policy.is_inside(caller) else {key: whole[key] for key in _FOR_ALL}

    async def _status(self) -> dict[str, Json]:
        kernel, executor = self._kernel, self._kernel.executor
        stored = await in_thread(kernel.readers, kernel.store.stats)
        return {
            **self._control.describe(),
            "config": self._config.state(),
            "frontends": [_part(p) for p in kernel.parts if p.kind == "frontend"],
            "daemons": [_part(p) for p in kernel.parts if p.kind == "daemon"],
            "observers": [decode(encode(pump.state)) for pump in kernel.observers],
            "providers": self._kernel.providers.shown(),
            "runs": {
                "running": executor.placement.slots.used,
                "pending": executor.table.pending.total(),
                "parked": len(executor.placement.parked),
                "abandoned": len(executor.table.abandoned),
                "since_start": dict(executor.table.counts),
            },
            "refused": dict(kernel.telling.counts),
            "store": {**stored, "refuses": kernel.committer.refusal is not None},
            "draining": executor.table.draining,
        }

    async def plugins(self, caller: Caller) -> dict[str, Json]:
        """Every plugin that was found: loaded, disabled, incompatible or broken; admins are told why.

        They are also told of each what it is to blame for since the start: how often it kept the loop from turning,
        was slow, raised or missed a deadline, with the last reason and its place.
        """
        whole, blame = self._kernel.policy.is_admin(caller), self._kernel.blame
        items = [plugin_shown(record, whole=whole) for record in self._kernel.records()]
        return {"items": [with_trouble(item, blame) for item in items] if whole else items, "next": None}

    async def meta(self, caller: Caller) -> Json:
        """The whole descriptor, as the caller may see it."""
        return decode(self._kernel.meta.meta(caller).body)

    async def config(self) -> dict[str, Json]:
        """Every setting with its value, where it came from, and what waits for a restart."""
        return {"items": self._config.describe(), "next": None}

    def config_check(self) -> dict[str, Json]:
        """Whether a start with the configuration as it is on disk now would succeed."""
        return self._config.check()

    async def log(self, level: str = "debug", limit: Limit = 100, cursor: str | None = None) -> dict[str, Json]:
        """Lines of the host's log, oldest first, from a position on.

        Args:
            level: the least level shown.
            limit: at most so many lines.
            cursor: as given by the page before.
        """
        after, items = parse_cursor(cursor, first=0), list[Json]()
        least = LEVELS.get(level, 0)
        async for batch in self._kernel.follow(LOG_STREAM, after, live=False):
            for event in batch:
                after = event.seq
                if LEVELS.get(event.level, 0) >= least:
                    items.append(decode(encode(event)))
                if len(items) >= limit:
                    return {"items": items, "next": str(after)}
        return {"items": items, "next": None}


def _part(part: msgspec.Struct) -> Json:
    fields = msgspec.structs.asdict(part)
    shown = ("owner", "name", "kind", "status", "address", "crashes", "reason")
    return {name: fields[name] for name in shown}

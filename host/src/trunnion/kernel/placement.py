"""Where a run waits before it works: not yet due, parked, in its lane, for a slot."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from trunnion.kernel.clock import Clock
from trunnion.kernel.entries import CommandEntry
from trunnion.kernel.lanes import Lanes
from trunnion.kernel.limits import Limits
from trunnion.kernel.live import LiveRun
from trunnion.kernel.locks import LockScope
from trunnion.kernel.registry import Registry
from trunnion.kernel.retry import seconds_to_wait
from trunnion.kernel.slots import Slots


class Placement:
    """Lanes, slots and the car park.

    Args:
        ready: told of each run that holds its lane and a slot.
        park_expired: told of each run that was parked for too long.
        lined_up: told of each run that has to wait for its lane again, after its acceptance: somebody may be
            waiting for it already.
    """

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        limits: Limits,
        ready: Callable[[LiveRun], None],
        park_expired: Callable[[LiveRun], None],
        lined_up: Callable[[LiveRun], object],
    ) -> None:
        self.lanes = Lanes()
        self.slots: Slots[LiveRun] = Slots(limits.max_running, limits.threads)
        self.parked: dict[str, LiveRun] = {}
        self.closed = False
        self.park_all = False
        self._registry = registry
        self._clock = clock
        self._limits = limits
        self._ready = ready
        self._park_expired = park_expired
        self._lined_up = lined_up
        registry.listeners.append(self.unpark)

    def place(self, live: LiveRun) -> None:
        """Find a run its lane and slot, or its place in the queue for them."""
        entry = live.entry
        if entry is None or not entry.available or (self.park_all and not live.checked):
            self.park(live)
        elif (wait := seconds_to_wait(live, self._clock)) > 0:
            live.phase = "delayed"
            live.disarm()
            live.timer = self._clock.call_later(wait, lambda: self._due(live))
        else:
            live.phase = "lane"
            if entry.lock is None or self._enter_lane(live, entry):
                self._want_slot(live)
            elif not live.arriving:
                self._lined_up(live)

    def leave(self, live: LiveRun, *, keep_lane: bool = False, keep_slot: bool = False) -> None:
        """Give up whatever place a run has, and let those move up who waited for it."""
        live.disarm()
        self.parked.pop(live.id, None)
        if live.has_slot and not keep_slot:
            live.has_slot = False
            if not live.lent:
                self.slots.release(live)
        elif live.phase == "slot":
            self.slots.give_up(live)
        if live.lane is not None and not keep_lane:
            self.free_lane(live)
        self.pump()

    def free_lane(self, live: LiveRun) -> None:
        """Give up a run's place in its lane, whatever else it holds."""
        for member in self.lanes.leave(live):
            if isinstance(member, LiveRun):
                self._want_slot(member)

    def lend(self, live: LiveRun) -> None:
        """A parent waits for a child: others may use its slot."""
        live.lent += 1
        if live.lent == 1 and live.has_slot:
            self.slots.release(live)
            self.pump()

    def reclaim(self, live: LiveRun) -> None:
        """The parent goes on."""
        live.lent -= 1
        if live.lent == 0 and live.has_slot:
            self.slots.occupy(live)

    def pump(self) -> None:
        """Let those work for whom there is a slot."""
        while (live := self.slots.next()) is not None:
            live.has_slot = True
            self._ready(live)

    def resize(self) -> None:
        """Go by the limits as they are now: with more slots, those who wait move up; with fewer, nobody is stopped."""
        self.slots.limit, self.slots.threads = self._limits.max_running, self._limits.threads
        if not self.closed:
            self.pump()

    # -- parking ----------------------------------------------------------------------------------

    def park(self, live: LiveRun) -> None:
        """Put a run aside until its command is there again."""
        live.phase = "parked"
        self.parked[live.id] = live
        live.disarm()
        if not self.park_all:
            live.timer = self._clock.call_later(self._limits.park_timeout, lambda: self._park_expired(live))

    def unpark(self) -> None:
        """The registry has changed: place those whose command is there now, the oldest first."""
        if self.closed or self.park_all:
            return
        for live in sorted(self.parked.values(), key=lambda parked: parked.rank):
            entry = self._registry.command(live.run.command_id)
            if entry is not None and entry.available:
                del self.parked[live.id]
                live.disarm()
                live.entry = entry
                self.place(live)

    # -- inside -----------------------------------------------------------------------------------

    def _due(self, live: LiveRun) -> None:
        live.timer = None
        self.place(live)

    def in_right_lane(self, live: LiveRun, entry: CommandEntry) -> bool:
        """Whether a run stands where its command, as it is now, wants it."""
        return (live.run.lock_key if live.lane is not None else None) == _key(live, entry)

    def _enter_lane(self, live: LiveRun, entry: CommandEntry) -> bool:
        key = _key(live, entry)
        if key is None or entry.lock is None:
            return True
        if live.run.lock_key != key:
            live.run = msgspec.structs.replace(live.run, lock_key=key)
        holder = _holder_above(live, key)
        if holder is None:
            return self.lanes.enter(live, key, entry.lock.limit)
        return self.lanes.enter(live, f"{key}\n{holder.id}", 1, shown=key)

    def _want_slot(self, live: LiveRun) -> None:
        if self.slots.take(live):
            live.has_slot = True
            self._ready(live)
        else:
            live.phase = "slot"
            self.slots.wait(live)


def _key(live: LiveRun, entry: CommandEntry) -> str | None:
    if entry.lock is None:
        return None
    return entry.lock.key_for(LockScope(live.run.principal, live.run.session_id or "", live.run.args))


def _holder_above(live: LiveRun, key: str) -> LiveRun | None:
    """The nearest run above that holds a key; its children enter the key it holds."""
    above = live.parent
    while above is not None:
        if above.run.lock_key == key and above.lane is not None:
            return above
        above = above.parent
    return None

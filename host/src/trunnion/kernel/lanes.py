"""Lanes: a first-come queue per lock key, and the walk that finds a wait that could never end.

Nothing here knows what a run is but for ``Member``; there is no I/O and no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Protocol


class Member(Protocol):
    """What may stand in a lane: one run.

    Attributes:
        lane: where it stands or holds, None outside.
        awaited_children: nested runs it waits for at the moment.
    """

    @property
    def id(self) -> str:
        """The run's id."""

    @property
    def awaited_children(self) -> Iterator[Member]:
        """Nested runs it waits for at the moment."""

    lane: Lane | None


class Lane:
    """One key: who holds it and who waits for it, in order."""

    __slots__ = ("holders", "key", "queue", "shown")

    def __init__(self, key: str, shown: str) -> None:
        self.key = key
        self.shown = shown
        self.holders: list[Member] = []
        self.queue: deque[tuple[Member, int]] = deque()

    @property
    def empty(self) -> bool:
        """Whether nobody holds it or waits for it."""
        return not self.holders and not self.queue


class Lanes:
    """All lanes in use; a lane exists only while somebody is in it."""

    def __init__(self) -> None:
        self.by_key: dict[str, Lane] = {}

    def enter(self, member: Member, key: str, limit: int, *, shown: str = "") -> bool:
        """Take a place in a lane; True if the member holds the key at once."""
        lane = self.by_key.get(key)
        if lane is None:
            lane = self.by_key[key] = Lane(key, shown or key)
        member.lane = lane
        if not lane.queue and len(lane.holders) < limit:
            lane.holders.append(member)
            return True
        lane.queue.append((member, limit))
        return False

    def leave(self, member: Member) -> list[Member]:
        """Give up the place; returns those who hold the key now because of it."""
        lane, member.lane = member.lane, None
        if lane is None:
            return []
        if member in lane.holders:
            lane.holders.remove(member)
        else:
            lane.queue = deque(entry for entry in lane.queue if entry[0] is not member)
        admitted: list[Member] = []
        while lane.queue and len(lane.holders) < lane.queue[0][1]:
            following, _ = lane.queue.popleft()
            lane.holders.append(following)
            admitted.append(following)
        if lane.empty:
            del self.by_key[lane.key]
        return admitted

    def holds(self, member: Member) -> bool:
        """Whether the member needs to wait for no lane."""
        return member.lane is None or member in member.lane.holders

    def blockers(self, member: Member) -> list[Member]:
        """Whom a member waits for: the holders and those before it in its lane, then awaited children."""
        found = list(member.awaited_children)
        lane = member.lane
        if lane is not None and member not in lane.holders:
            found.extend(lane.holders)
            for other, _ in lane.queue:
                if other is member:
                    break
                found.append(other)
        return found


def find_cycle(lanes: Lanes, start: Member) -> list[Member] | None:
    """The members of a cycle of waits through ``start``, or None."""
    path: list[Member] = []
    seen: set[str] = set()

    def walk(member: Member) -> bool:
        path.append(member)
        for blocker in lanes.blockers(member):
            if blocker is start:
                return True
            if blocker.id not in seen:
                seen.add(blocker.id)
                if walk(blocker):
                    return True
        path.pop()
        return False

    return list(path) if walk(start) else None

"""Lanes: a first-come queue per lock key, and the walk that finds a wait that could never end.

Nothing here knows what a run is but for ``Member``; there is no I/O and no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
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


def find_cycle(start: Member) -> list[Member] | None:
    """The members of a shortest cycle of waits through ``start``, or None."""
    waits_for: dict[str, Member] = {}
    ahead: dict[str, dict[str, Member]] = {}
    todo = deque([start])
    while todo:
        member = todo.popleft()
        for blocker in _blockers(member, ahead):
            if blocker is start:
                return _path(start, member, waits_for)
            if blocker.id not in waits_for:
                waits_for[blocker.id] = member
                todo.append(blocker)
    return None


def _blockers(member: Member, ahead: dict[str, dict[str, Member]]) -> Iterator[Member]:
    """Whom a member waits for: awaited children, then the holders of its lane and who stands before it there.

    Those further ahead are found through the one before: a long queue is walked once, not once per member.
    """
    yield from member.awaited_children
    lane = member.lane
    if lane is None or member in lane.holders:
        return
    yield from lane.holders
    if lane.key not in ahead:
        ahead[lane.key] = {behind.id: before for (before, _), (behind, _) in pairwise(lane.queue)}
    before = ahead[lane.key].get(member.id)
    if before is not None:
        yield before


def _path(start: Member, last: Member, waits_for: dict[str, Member]) -> list[Member]:
    path = [last]
    while path[-1] is not start:
        path.append(waits_for[path[-1].id])
    return path[::-1]

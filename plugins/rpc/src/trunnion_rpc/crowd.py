"""How much of the door one principal may take at a time."""

from __future__ import annotations

import asyncio

from trunnion_rpc.pause import TooMuch

PAUSE = 0.25
"""Seconds until somebody is told that they have too much under way."""


class Crowd:
    """Counts what each principal has under way.

    Args:
        what: in the plural, for messages.
        most: of one principal.

    Attributes:
        most: may be changed; those beyond it that are under way go on.
    """

    def __init__(self, what: str, most: int) -> None:
        self._what = what
        self.most = most
        self._under_way: dict[str, int] = {}

    def one(self, principal: str) -> _One:
        """A context manager: one more, for as long as the block lasts.

        Raises:
            TooMuch: on entering; there are as many as there may be.
        """
        return _One(self, principal)

    def enter(self, principal: str) -> None:
        """One more.

        Raises:
            TooMuch: there are as many as there may be.
        """
        under_way = self._under_way.get(principal, 0)
        if under_way >= self.most:
            text = f"{self.most} {self._what} of {principal} are under way at this door; wait for one to end"
            raise TooMuch(text, PAUSE)
        self._under_way[principal] = under_way + 1

    def leave(self, principal: str) -> None:
        """One less."""
        left = self._under_way[principal] - 1
        if left:
            self._under_way[principal] = left
        else:
            del self._under_way[principal]

    def __len__(self) -> int:
        """How many are under way, of all."""
        return sum(self._under_way.values())


class _One:
    """Each call makes one: a generator would cost it more than all that is counted."""

    __slots__ = ("_crowd", "_kept", "_principal")

    def __init__(self, crowd: Crowd, principal: str) -> None:
        self._crowd = crowd
        self._principal = principal
        self._kept = False

    def __enter__(self) -> _One:
        self._crowd.enter(self._principal)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._kept:
            self._crowd.leave(self._principal)

    def keep_for(self, task: asyncio.Task[object] | None) -> None:
        """Let it count until a task is done, which goes on after the block."""
        if task is not None and not self._kept:
            self._kept = True
            task.add_done_callback(lambda _: self._crowd.leave(self._principal))

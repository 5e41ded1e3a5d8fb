"""How much of the door one principal may take at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from trunnion import Busy


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
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def one(self, principal: str) -> Iterator[None]:
        """One more, for as long as the block lasts.

        Raises:
            Busy: there are as many as there may be.
        """
        if self._under_way[principal] >= self.most:
            text = f"{self.most} {self._what} of {principal} are under way at this door; wait for one to end"
            raise Busy(text, {"retry_after": 1})
        self._under_way[principal] += 1
        try:
            yield
        finally:
            self._under_way[principal] -= 1
            if not self._under_way[principal]:
                del self._under_way[principal]

    def __len__(self) -> int:
        """How many are under way, of all."""
        return self._under_way.total()

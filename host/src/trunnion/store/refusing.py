"""The whole contract over a store nobody may write to: reads answer, writes are refused by name."""

from __future__ import annotations

from collections.abc import Sequence

from trunnion.model.errors import Unavailable
from trunnion.store.base import Batch, Done, KeyRow
from trunnion.store.readonly import ReadOnlyStore

REFUSAL = "no host is running on this data directory, so nothing in it can be changed; start one with `trunnion up`"


class RefusingStore(ReadOnlyStore):
    """Lets the host's own queries work on history without a host."""

    def commit(self, batch: Batch, done: Done) -> None:
        """Refuse."""
        done(Unavailable(REFUSAL))

    def release_ballast(self) -> bool:
        """There is none to give."""
        return False

    def restore_ballast(self) -> bool:
        """There is none to take."""
        return False

    def last_seq(self, stream: str) -> int:
        """Nothing is appended here, so nothing is counted on from."""
        return 0

    def next_num(self) -> int:
        """Refuse: there will be no next run."""
        raise Unavailable(REFUSAL)

    def find_key(self, principal: str, key: str) -> KeyRow | None:
        """No invocation can be joined here."""
        raise Unavailable(REFUSAL)

    def observer_position(self, name: str) -> int:
        """Observers see nothing new here."""
        return self.end_position()

    def set_observer_position(self, name: str, position: int) -> None:
        """Refuse."""
        raise Unavailable(REFUSAL)

    def remove(self, run_ids: Sequence[str]) -> int:
        """Refuse."""
        raise Unavailable(REFUSAL)

    def cut(self, stream: str, last: int) -> None:
        """Refuse."""
        raise Unavailable(REFUSAL)

    def forget(self, run_id: str) -> bool:
        """Refuse."""
        raise Unavailable(REFUSAL)

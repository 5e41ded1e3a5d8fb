"""Durable storage: four verbs (accept, start, append, finish) in atomic batches, and readers of history.

``base`` is the contract; ``open_store`` makes a store that keeps it. Importing this package imports no
engine, making a store imports everything it needs until its end.
"""

from trunnion.store.base import (
    Accept,
    Batch,
    Commit,
    DiskFull,
    DocumentWrite,
    Done,
    KeyRow,
    LiveRun,
    PruneResult,
    Store,
)
from trunnion.store.factory import Durability, open_readonly, open_store

__all__ = [
    "Accept",
    "Batch",
    "Commit",
    "DiskFull",
    "DocumentWrite",
    "Done",
    "Durability",
    "KeyRow",
    "LiveRun",
    "PruneResult",
    "Store",
    "open_readonly",
    "open_store",
]
